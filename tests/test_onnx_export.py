"""The ONNX file against the model."""

import numpy as np
import pytest
import torch

from modeling_elmo import ElmoForTokenClassification, cli, quantize
from modeling_elmo.onnx_export import export_onnx

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

VARIANTS = [
    {},
    {"word_embedding_size": 3, "num_representations": 2, "representation": "scalar_mix", "cell_clip": 3.0},
    {
        "bidirectional": False,
        "cell_clip": None,
        "projection_clip": None,
        "num_hidden_layers": 3,
        "use_residual": False,
    },
    {"word_embedding_size": 6, "character_embedding_size": 0, "num_highway_layers": 0, "projection_size": None},
    {"representation": "scalar_mix", "scalar_mix_norm": "sentence", "hidden_act": "tanh"},
    {"representation": "scalar_mix", "scalar_mix_norm": "batch_without_boundaries", "num_hidden_layers": 1},
]


def run(session, batch) -> dict[str, torch.Tensor]:
    inputs = {value.name: batch[value.name].numpy() for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return {name: torch.tensor(value) for name, value in zip(names, session.run(names, inputs), strict=True)}


# To export takes seconds, whatever the model's size.
@pytest.mark.parametrize(
    "options", [VARIANTS[0], *(pytest.param(options, marks=pytest.mark.slow) for options in VARIANTS[1:])], ids=str
)
def test_the_runtime_gives_the_models_numbers(options, make_model, make_batch, sentences, tmp_path):
    model = make_model(**options)
    export_onnx(model, tmp_path / "elmo.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "elmo.onnx")
    # Several sentences, one, one of a single word; padding before, after, and in between.
    batches = [make_batch(sentences), make_batch(sentences[1:2]), make_batch([["a"]], marks=False)]
    batches.append(make_batch(sentences, side="left", length=20))
    batches.append(make_batch(sentences) | {"attention_mask": batches[0]["attention_mask"].clone()})
    batches[-1]["attention_mask"][:, 2] = 0
    for batch in batches:
        with torch.no_grad():
            expected = model(**batch, output_hidden_states=True)
        got = run(session, batch)
        close = {"atol": 1e-5, "rtol": 0}
        torch.testing.assert_close(got["last_hidden_state"], expected.last_hidden_state, **close)
        torch.testing.assert_close(got["hidden_states"], torch.stack(expected.hidden_states), **close)
        if model.config.num_representations > 1:
            torch.testing.assert_close(got["representation_1"], expected.representations[1], **close)


def test_the_model_stays_as_it_is(make_model, tmp_path):
    model = make_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_onnx(model, tmp_path / "elmo.onnx")
    assert model.training
    assert all(parameter.requires_grad for parameter in model.lstm.parameters())
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_interruption_leaves_what_was_there(make_model, tmp_path, monkeypatch):
    target = tmp_path / "elmo.onnx"
    target.write_text("of before")

    def save(program, path):
        path.write_text("half a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.onnx.ONNXProgram.save", save)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(make_model(), target)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("elmo.onnx", "of before")]


def test_weights_beside_the_file_are_found(make_model, make_batch, sentences, tmp_path, monkeypatch):
    save = torch.onnx.ONNXProgram.save
    monkeypatch.setattr("torch.onnx.ONNXProgram.save", lambda *args: save(*args, external_data=True))
    model = make_model()
    export_onnx(model, tmp_path / "elmo.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["elmo.onnx", "elmo.onnx.data"]
    batch = make_batch(sentences)
    got = run(onnxruntime.InferenceSession(tmp_path / "elmo.onnx"), batch)["last_hidden_state"]
    torch.testing.assert_close(got, model(**batch).last_hidden_state.detach(), atol=1e-5, rtol=0)
    monkeypatch.undo()
    export_onnx(model, tmp_path / "elmo.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["elmo.onnx"]


def test_what_cannot_be_exported_is_refused(make_model, tmp_path, monkeypatch):
    target = tmp_path / "elmo.onnx"
    with pytest.raises(TypeError, match="`elmo`"):
        export_onnx(make_model(ElmoForTokenClassification), target)
    with pytest.raises(ValueError, match="quantized"):
        export_onnx(quantize(make_model()), target)
    with pytest.raises(ValueError, match="float32"):
        export_onnx(make_model().to(torch.bfloat16), target)
    monkeypatch.setattr("modeling_elmo.onnx_export.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"modeling-elmo\[onnx\]"):
        export_onnx(make_model(), target)
    assert not target.exists()


def test_the_command_writes_what_the_runtime_loads(make_model, make_batch, sentences, tmp_path, capsys):
    model = make_model().bfloat16()
    model.save_pretrained(tmp_path / "elmo")
    model.float()
    target = tmp_path / "elmo.onnx"
    assert cli.main(["export", str(tmp_path / "elmo"), str(target)]) == 0
    batch = make_batch(sentences)
    got = run(onnxruntime.InferenceSession(target), batch)["last_hidden_state"]
    torch.testing.assert_close(got, model(**batch).last_hidden_state.detach(), atol=1e-5, rtol=0)
    assert cli.main(["export", str(tmp_path / "elmo"), str(target)]) == 2
    assert "--overwrite" in capsys.readouterr().err
