"""The trainer: learning, exact resume, several processes, accumulation, going on from a checkpoint."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import is_aim_available
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoTokenizer, BertConfig

from modeling_elmo import ElmoModel, ElmoTokenizer
from modeling_elmo.conversion.options import bilm_options
from modeling_elmo.pretraining import run, texts
from modeling_elmo.pretraining.arguments import parse_arguments
from modeling_elmo.pretraining.checkpoints import check_same_run, load_tensors, saved_checkpoints
from modeling_elmo.pretraining.evaluation import Perplexity
from modeling_elmo.pretraining.trainer import PretrainingTrainer

PRETRAIN = Path(__file__).parents[2] / "scripts" / "pretrain.py"

TINY = {
    "character_embedding_size": 4,
    "filters": ["1:4", "2:8"],
    "num_highway_layers": 1,
    "cell_size": 12,
    "projection_size": 8,
    "representation_size": 8,
    "vocab_size": 60,
    "num_negative_samples": 20,
    "dropout": 0.0,
    "batch_size": 4,
    "unroll_steps": 5,
    "max_steps": 12,
    "eval_steps": 6,
    "save_steps": 3,
    "logging_steps": 1,
    "warmup_steps": 2,
    "held_out_share": 0.1,
    "num_workers": 0,
    "show_neighbours": False,
    "cpu": True,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Sentences that a language model can learn: every word decides on the next."""
    random = np.random.default_rng(0)
    words = [f"w{chr(97 + i % 26)}{i}" for i in range(80)]
    lines = []
    for _ in range(400):
        start, length = random.integers(8), random.integers(3, 9)
        lines.append(" ".join(words[(start + 3 * step) % 80] for step in range(length)))
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_recipe(folder: Path, corpus: Path, name: str, **options) -> Path:
    recipe = TINY | {"train_files": [str(corpus)], "output_dir": str(folder / name)} | options
    path = folder / f"{name}.json"
    path.write_text(json.dumps(recipe))
    return path


def train(folder: Path, corpus: Path, name: str, **options) -> Path:
    AcceleratorState._reset_state(reset_partial_state=True)  # as in a new process
    return run.pretrain(parse_arguments([str(write_recipe(folder, corpus, name, **options))]))


def newest(output_dir: Path) -> Path:
    return saved_checkpoints(output_dir)[-1]


def state_of(output_dir: Path) -> dict:
    return json.loads((newest(output_dir) / "trainer_state.json").read_text())


def losses_of(output_dir: Path) -> list[float]:
    return [each["loss"] for each in state_of(output_dir)["losses"]]


def assert_same_weights(first: Path, second: Path, **tolerance):
    assert_same_weights_in(newest(first), newest(second), **tolerance)


def assert_same_weights_in(first: Path, second: Path, **tolerance):
    first, second = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], **(tolerance or {"rtol": 0, "atol": 0}), msg=name)


@pytest.mark.parametrize("optimizer, rate", [("adamw", 0.03), ("adagrad", 1.0), ("sgd", 1.0)])
def test_training_beats_the_unigram_model(tmp_path, corpus, optimizer, rate):
    options = {"optimizer": optimizer, "learning_rate": rate, "loss_times_window": optimizer != "adamw"}
    steps = {"max_steps": 150, "eval_steps": 150, "save_steps": 150, "logging_steps": 50}
    output = train(tmp_path, corpus, optimizer, batch_size=16, unroll_steps=8, **options, **steps)
    unigram = json.loads((output / "text.json").read_text())["unigram"]
    last = state_of(output)["evaluations"][-1]
    assert last["forward"] < 0.8 * unigram and last["backward"] < 0.8 * unigram
    assert last["perplexity"] == pytest.approx(math.sqrt(last["forward"] * last["backward"]))


def test_what_a_run_leaves_behind(tmp_path, corpus):
    output = train(tmp_path, corpus, "run", keep_checkpoints=1)
    tokenizer = AutoTokenizer.from_pretrained(output)
    inputs = tokenizer("wa0 wd3 unseen", return_tensors="pt")
    assert AutoModel.from_pretrained(output)(**inputs).last_hidden_state.shape == (1, 5, 8)
    surprisal = AutoModelForPreTraining.from_pretrained(output).eval()(**inputs).forward_surprisal
    assert surprisal.shape == (1, 5) and bool((surprisal[0, 1:] > 0).all())
    assert "Perplexity of held-out text" in (output / "README.md").read_text()
    assert (output / "learning_curve.png").stat().st_size > 1000
    assert json.loads((output / "pretraining.json").read_text())["cell_size"] == 12
    best = state_of(output)["best_step"]
    assert {each.name for each in saved_checkpoints(output)} <= {"step-00000012", f"step-{best:08d}"}
    assert sorted(each.name for each in (output / "checkpoints").iterdir()) == [
        each.name for each in saved_checkpoints(output)
    ]


def test_the_card_speaks_of_the_model_that_is_left_behind(tmp_path, corpus):
    output = train(tmp_path, corpus, "worse", optimizer="sgd", learning_rate=300.0)
    first, *trained = state_of(output)["evaluations"]
    best = min(trained, key=lambda each: each["perplexity"])
    assert first["perplexity"] < best["perplexity"], "the model before training is the best, and is not kept"
    assert f"{best['forward']:.1f} forward" in (output / "README.md").read_text()
    kept = load_file(output / "checkpoints" / f"step-{best['step']:08d}" / "model.safetensors")
    for name, value in load_file(output / "model.safetensors").items():
        assert torch.equal(value, kept[name]), name


def test_accumulation_changes_nothing(tmp_path, corpus):
    whole = train(tmp_path, corpus, "whole")
    parts = train(tmp_path, corpus, "parts", accumulation_steps=2)
    assert losses_of(parts) == pytest.approx(losses_of(whole), rel=1e-5)
    assert_same_weights(whole, parts, rtol=1e-3, atol=1e-5)


def test_gradient_checkpointing_changes_nothing(tmp_path, corpus):
    plain = train(tmp_path, corpus, "plain")
    checkpointed = train(tmp_path, corpus, "checkpointed", gradient_checkpointing=True)
    assert losses_of(checkpointed) == pytest.approx(losses_of(plain), rel=1e-5)


def test_bf16_autocast_trains(tmp_path, corpus):
    output = train(tmp_path, corpus, "bf16", mixed_precision="bf16")
    plain = train(tmp_path, corpus, "fp32")
    assert losses_of(output) == pytest.approx(losses_of(plain), rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"num_negative_samples": 0},
        {"adaptive_softmax_cutoffs": [20]},
        {"bidirectional": False},
        {"character_embedding_size": 0, "word_embedding_size": 8},
        {"word_embedding_size": 8, "optimizer": "adagrad", "learning_rate": 0.1},
    ],
    ids=["exact", "adaptive", "forward-only", "words-only", "words-and-characters"],
)
def test_variants_learn_and_resume(tmp_path, corpus, options):
    train(tmp_path, corpus, "run", **options, max_steps=6)
    resumed = train(tmp_path, corpus, "run", **options, max_steps=40, schedule="constant")
    losses = losses_of(resumed)
    assert len(losses) == 40 and np.mean(losses[-5:]) < np.mean(losses[:5])


def test_resuming_is_exact(tmp_path, corpus):
    """Stopped after each checkpoint by raising max_steps; dropout and the shuffled text go on as if nothing was."""
    options = {"dropout": 0.2, "schedule": "constant", "word_embedding_size": 4}
    whole = train(tmp_path, corpus, "whole", **options)
    for steps in (4, 9, 12):
        resumed = train(tmp_path, corpus, "resumed", **options, max_steps=steps)
    assert_same_weights(whole, resumed)
    assert losses_of(resumed)[-3:] == losses_of(whole)[-3:]


def test_a_line_of_progress_counts_the_steps_before_a_break(tmp_path, corpus):
    options = {"logging_steps": 5, "save_steps": 1, "keep_checkpoints": 12, "dropout": 0.2}
    output = train(tmp_path, corpus, "run", **options)
    losses = losses_of(output)
    for folder in saved_checkpoints(output)[8:]:
        shutil.rmtree(folder)
    assert newest(output).name.endswith("8")
    assert losses_of(train(tmp_path, corpus, "run", **options)) == losses


def test_a_run_that_is_older_than_an_option_goes_on():
    before = parse_arguments([]).as_dict()
    del before["frozen"]
    check_same_run(Path("old"), before, parse_arguments([]), 100)
    with pytest.raises(ValueError, match=r"old is from a run with frozen = \[\], not \['softmax'\]"):
        check_same_run(Path("old"), before, parse_arguments(["--frozen", "softmax"]), 100)


def test_going_on_as_another_run_is_refused(tmp_path, corpus):
    train(tmp_path, corpus, "run", max_steps=3)
    with pytest.raises(ValueError, match="cell_size = 12, not 16"):
        train(tmp_path, corpus, "run", cell_size=16)
    with pytest.raises(ValueError, match=r"frozen = \[\], not \['elmo.token_encoder.projection'\]"):
        train(tmp_path, corpus, "run", frozen=["elmo.token_encoder.projection"])
    with pytest.raises(ValueError, match="column = 'text', not 'body'"):
        train(tmp_path, corpus, "run", column="body")
    with pytest.raises(ValueError, match="validation_files = None, not"):
        train(tmp_path, corpus, "run", validation_files=[str(corpus)])
    with pytest.raises(ValueError, match="num_negative_samples = .*, not 0"):
        train(tmp_path, corpus, "run", num_negative_samples=0)
    with pytest.raises(ValueError, match="num_negative_samples = 20, not 60"):  # as many as words: none are drawn
        train(tmp_path, corpus, "run", num_negative_samples=60)
    # What is wrong with the new run leaves the old one as it is.
    for options, error in (({"train_files": ["nowhere.txt"]}, "nowhere"), ({"frozen": ["lstm"]}, "frozen")):
        with pytest.raises(ValueError, match=error):
            train(tmp_path, corpus, "run", overwrite=True, **options)
        assert state_of(tmp_path / "run")["step"] == 3
    assert losses_of(train(tmp_path, corpus, "run", cell_size=16, overwrite=True, max_steps=3))


def test_text_that_has_changed_is_refused(tmp_path, corpus):
    text = tmp_path / "text.txt"
    text.write_text(corpus.read_text())
    train(tmp_path, text, "run", max_steps=3)
    text.write_text(corpus.read_text() + "one more line\n")
    with pytest.raises(ValueError, match="other streams: bytes of the files was"):
        train(tmp_path, text, "run", max_steps=4)


KILLER = """
import os, random, signal, sys, time
import torch
from modeling_elmo.pretraining.arguments import parse_arguments
from modeling_elmo.pretraining.run import pretrain

torch.set_num_threads(1)
recipe, number, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
killed = 0
while True:
    child = os.fork()
    if not child:
        pretrain(parse_arguments([recipe]))
        os._exit(0)
    deadline = time.monotonic() + random.uniform(0.1, 2.5) * (1 + killed / 3)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if number == signal.SIGKILL or os.WIFSIGNALED(status) or status:
                print("killed", killed)
                sys.exit(status)
            break
        time.sleep(0.01)
    else:
        os.kill(child, number)
        _, status = os.waitpid(child, 0)
        killed += 1
"""


@pytest.mark.slow
def test_killed_at_random_points(tmp_path, corpus):
    options = {"dropout": 0.1, "max_steps": 60, "eval_steps": 10, "save_steps": 2, "logging_steps": 20}
    whole = train(tmp_path, corpus, "whole", **options)
    recipe = write_recipe(tmp_path, corpus, "killed", **options)
    command = [sys.executable, "-c", KILLER, str(recipe), "9", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    killed = int(result.stdout.split("killed")[-1])
    assert killed >= 2, "the run was never killed while it trained"
    assert_same_weights(whole, tmp_path / "killed")


TWO_KILLED = """
import os, random, signal, socket, sys, time
from pathlib import Path
import torch
from modeling_elmo.pretraining.arguments import parse_arguments
from modeling_elmo.pretraining.checkpoints import saved_checkpoints
from modeling_elmo.pretraining.run import pretrain

torch.set_num_threads(1)
whole, killed, output = sys.argv[1], sys.argv[2], Path(sys.argv[3])
random.seed(2)

def start(recipe):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = []
    for rank in "01":
        child = os.fork()
        if not child:
            os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
            os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
            pretrain(parse_arguments([recipe]))
            os._exit(0)
        children.append(child)
    return children

for first in (5, 25):
    children = start(killed)
    last = first + random.randrange(15)
    while not (saved := saved_checkpoints(output)) or int(saved[-1].name[5:]) < last:
        if os.waitpid(children[0], os.WNOHANG)[0]:
            sys.exit("it ended before it was killed")
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.1))
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
for recipe in (killed, whole):
    assert not any([os.waitpid(child, 0)[1] for child in start(recipe)])
"""


@pytest.mark.slow
def test_two_processes_killed_at_random_steps(tmp_path, corpus):
    options = {"dropout": 0.1, "max_steps": 60, "eval_steps": 20, "save_steps": 2, "logging_steps": 20}
    recipes = [write_recipe(tmp_path, corpus, name, **options) for name in ("whole", "killed")]
    command = [sys.executable, "-c", TWO_KILLED, *map(str, recipes), str(tmp_path / "killed")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("going on from") == 2
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


TERMINATED = """
import os, subprocess, sys, time
from modeling_elmo.pretraining.arguments import parse_arguments
from modeling_elmo.pretraining import run, trainer

step = trainer.PretrainingTrainer._step
def step_and_signal(self, window):
    step(self, window)
    if self.state.step == 4:
        subprocess.run(["sh", "-c", f"kill -{sys.argv[2]} 0"])  # the loader's workers too
        time.sleep(0.5)
trainer.PretrainingTrainer._step = step_and_signal
run.pretrain(parse_arguments([sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [15, 2], ids=["SIGTERM", "SIGINT"])
def test_a_signal_saves_before_leaving(tmp_path, corpus, number):
    recipe = write_recipe(tmp_path, corpus, "run", save_steps=100, eval_steps=100, max_steps=8, num_workers=2)
    command = [sys.executable, "-c", TERMINATED, str(recipe), str(number)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, start_new_session=True)
    assert result.returncode == 0, result.stderr
    assert "stopped at step 4" in result.stdout
    assert newest(tmp_path / "run").name == "step-00000004"


@pytest.mark.slow
def test_a_signal_to_several_processes_saves_at_once(tmp_path, corpus):
    recipe = write_recipe(tmp_path, corpus, "run", save_steps=100, eval_steps=100, max_steps=8)
    (tmp_path / "run.py").write_text(TERMINATED.replace("kill -{sys.argv[2]} 0", "kill -15 {os.getpid()}"))
    result = launch_two(tmp_path / "run.py", recipe)
    assert result.returncode == 0, result.stderr
    assert newest(tmp_path / "run").name == "step-00000004"


def test_what_workers_find_wrong_ends_the_run_in_one_line(tmp_path, corpus):
    few = tmp_path / "few.txt"
    few.write_text("".join(corpus.read_text().splitlines(keepends=True)[:20]))
    recipe = write_recipe(tmp_path, few, "run", batch_size=64, num_workers=2, held_out_share=0.2)
    result = subprocess.run([sys.executable, str(PRETRAIN), str(recipe)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert re.search(r"^error: the text has \d+ records for 64 streams, .*lower batch_size.*\n\Z", result.stderr, re.M)


FAULTY = """
import sys
from modeling_elmo.pretraining import run, trainer
from modeling_elmo.pretraining.arguments import parse_arguments

def step(self, window):
    raise RuntimeError("out of memory")
trainer.PretrainingTrainer._step = step
run.pretrain(parse_arguments([sys.argv[1]]))
"""


def test_an_error_in_a_step_ends_the_run_and_its_workers(tmp_path, corpus):
    recipe = write_recipe(tmp_path, corpus, "run", num_workers=2)
    command = [sys.executable, "-c", FAULTY, str(recipe)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1 and result.stderr.endswith("RuntimeError: out of memory\n")


def test_options_of_the_optimizer_may_change(tmp_path, corpus):
    common = {"optimizer": "adamw", "schedule": "constant", "save_steps": 4}
    first = train(tmp_path, corpus, "first", **common, max_steps=4)
    weights = []
    for weight_decay in (0.01, 0.9):
        shutil.copytree(first, tmp_path / f"{weight_decay}")
        output = train(tmp_path, corpus, f"{weight_decay}", **common, max_steps=8, weight_decay=weight_decay)
        groups = load_tensors(newest(output) / "optimizer.pt")["optimizers"][0]["param_groups"]
        assert {group["weight_decay"] for group in groups} <= {0.0, weight_decay}
        weights.append(load_file(newest(output) / "model.safetensors"))
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_run_may_end_where_it_was_stopped(tmp_path, corpus, monkeypatch, capsys):
    monkeypatch.setattr(PretrainingTrainer, "_must_stop", lambda self, stop: self.state.step == 4)
    options = {"save_steps": 100, "eval_steps": 100, "schedule": "constant"}
    output = train(tmp_path, corpus, "run", **options, max_steps=8)
    assert [each["step"] for each in state_of(output)["evaluations"]] == [0]
    train(tmp_path, corpus, "run", **options, max_steps=4)
    printed = capsys.readouterr().out
    assert "stopped at step 4" in printed
    assert re.search(r"best held-out perplexity: [\d.]+ forward, [\d.]+ backward at step 4 ", printed)
    assert_same_weights_in(output, newest(output))


def launch_two(script: Path, recipe: Path, timeout: float = 500) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", str(script), str(recipe)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


def train_in_two_processes(recipe: Path, timeout: float = 500):
    result = launch_two(PRETRAIN, recipe, timeout)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "softmax",
    # Of the adaptive softmax's last words there is often none in the rows of a process.
    [{}, {"num_negative_samples": 0}, {"adaptive_softmax_cutoffs": [30]}],
    ids=["sampled", "exact", "adaptive"],
)
def test_two_processes_equal_one(tmp_path, corpus, softmax):
    one = train(tmp_path, corpus, "one", **softmax)
    recipe = write_recipe(tmp_path, corpus, "two", **softmax)
    train_in_two_processes(recipe)
    two = tmp_path / "two"
    assert losses_of(two) == pytest.approx(losses_of(one), rel=1e-5)
    assert_same_weights(one, two, rtol=1e-3, atol=1e-5)
    for ours, theirs in zip(state_of(two)["evaluations"], state_of(one)["evaluations"], strict=True):
        assert ours["forward"] == pytest.approx(theirs["forward"], rel=1e-4)
    # From the middle on, two processes go on exactly too.
    before = load_file(newest(two) / "model.safetensors")
    for path in saved_checkpoints(two):
        if path.name > "step-00000009":
            for file in path.iterdir():
                file.unlink() if file.is_file() else None
            path.rmdir()
    train_in_two_processes(recipe)
    after = load_file(newest(two) / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_another_number_of_processes_goes_on(tmp_path, corpus):
    """One process, then two, then one again, and with other workers."""
    options = {"schedule": "constant"}
    one = train(tmp_path, corpus, "one", **options)
    train(tmp_path, corpus, "changing", **options, max_steps=4)
    # Without GPUs it goes unsaid that it is on CPUs.
    changed = {"max_steps": 8, "num_workers": 1, "cpu": torch.accelerator.is_available()}
    train_in_two_processes(write_recipe(tmp_path, corpus, "changing", **options, **changed))
    changing = train(tmp_path, corpus, "changing", **options)
    assert losses_of(changing) == pytest.approx(losses_of(one), rel=1e-5)
    assert_same_weights(one, changing, rtol=1e-3, atol=1e-5)
    assert state_of(changing)["words"] == state_of(one)["words"]


def test_tensorboard_reads_every_step_once(tmp_path, corpus):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = {"report_to": ["tensorboard"], "schedule": "constant"}
    train(tmp_path, corpus, "run", **options, max_steps=6)
    shutil.rmtree(newest(tmp_path / "run"))  # as if killed after step 6 was logged and before it was saved
    output = train(tmp_path, corpus, "run", **options)
    events = reader.EventAccumulator(str(output / "pretraining")).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [(each["step"], pytest.approx(each["loss"])) for each in state_of(output)["losses"]]
    assert [step for step, _ in losses] == list(range(1, 13))
    for direction in ("forward", "backward"):
        logged = events.Scalars(f"held_out/{direction}_perplexity")
        assert [event.step for event in logged] == [0, 6, 12]
        assert logged[-1].value == pytest.approx(state_of(output)["evaluations"][-1][direction])
    assert {"train/learning_rate", "train/words_per_second", "train/utilisation"} < set(events.Tags()["scalars"])


@pytest.mark.parametrize(
    ("name", "message"), [("tensorbord", "'tensorbord'; choose of .*tensorboard"), ("aim", "'aim', which is not inst")]
)
def test_missing_trackers_are_refused_at_once(tmp_path, corpus, name, message):
    if name == "aim" and is_aim_available():
        pytest.skip("aim is installed")
    with pytest.raises(ValueError, match=message):
        train(tmp_path, corpus, "run", report_to=[name])
    assert not (tmp_path / "run").exists()


def test_fp16_is_refused_where_losses_cannot_be_scaled(tmp_path, corpus):
    with pytest.raises(ValueError, match="mixed_precision is fp16, for which there is no loss scaling on cpu"):
        train(tmp_path, corpus, "run", mixed_precision="fp16")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("supported", [False, True])
def test_bf16_on_a_processor_without_it_is_warned_of(tmp_path, corpus, monkeypatch, capsys, supported):
    monkeypatch.setattr(run, "has_kernels_of", lambda dtype: supported)
    train(tmp_path, corpus, "run", mixed_precision="bf16", max_steps=1)
    assert ("this processor has no instructions for bf16" in capsys.readouterr().out) is not supported


def scale_losses(monkeypatch, scale: float):
    """Loss scaling as for fp16 on a GPU, here in fp32."""

    def scaling_accelerator(**arguments):
        accelerator = Accelerator(**arguments)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=4)
        return accelerator

    monkeypatch.setattr(run, "Accelerator", scaling_accelerator)


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_loss_scaling_changes_nothing(tmp_path, corpus, optimizer, monkeypatch):
    options = {"optimizer": optimizer, "schedule": "constant"}
    plain = train(tmp_path, corpus, "plain", **options)
    scale_losses(monkeypatch, 2.0**10)
    scaled = train(tmp_path, corpus, "scaled", **options)
    assert losses_of(scaled) == pytest.approx(losses_of(plain), rel=1e-5)
    train(tmp_path, corpus, "resumed", **options, max_steps=5)
    resumed = train(tmp_path, corpus, "resumed", **options)
    assert_same_weights(scaled, resumed)
    assert load_tensors(newest(resumed) / "optimizer.pt")["scaler"]["scale"] == 2.0**13


def test_steps_whose_gradients_overflow_are_skipped(tmp_path, corpus, monkeypatch):
    options = {"max_steps": 1, "warmup_steps": 0, "schedule": "constant", "loss_times_window": True}
    plain = train(tmp_path, corpus, "plain", **options)
    scale_losses(monkeypatch, 2.0**127)
    skipped = train(tmp_path, corpus, "skipped", **options)
    assert losses_of(skipped) == losses_of(plain)
    assert load_tensors(newest(skipped) / "optimizer.pt")["scaler"]["scale"] == 2.0**126
    before, after = (state_of(skipped)["evaluations"][index] for index in (0, -1))
    assert after["forward"] == before["forward"]
    assert state_of(plain)["evaluations"][-1]["forward"] != before["forward"]


def test_going_on_from_a_checkpoint(tmp_path, corpus):
    options = {"learning_rate": 0.02, "max_steps": 100, "eval_steps": 50, "save_steps": 50, "logging_steps": 50}
    first = train(tmp_path, corpus, "first", **options)
    reached = min(each["perplexity"] for each in state_of(first)["evaluations"])
    kept = train(tmp_path, corpus, "kept", init_from=str(first), max_steps=3)
    assert state_of(kept)["evaluations"][0]["perplexity"] == pytest.approx(reached, rel=1e-4)
    rebuilt = train(
        tmp_path, corpus, "rebuilt", init_from=str(first), rebuild_vocabulary=True, vocab_size=25, max_steps=3
    )
    model, old = (AutoModelForPreTraining.from_pretrained(each) for each in (newest(rebuilt), first))
    assert model.config.vocab_size == 25 and model.softmax.weight.shape == (25, 8)
    start = state_of(rebuilt)["evaluations"][0]["perplexity"]
    assert start < 1.5 * reached, "known words keep their rows"
    assert old.config.vocab_size > 25


def test_a_checkpoint_in_half_precision_is_trained_in_full(tmp_path, corpus):
    first = train(tmp_path, corpus, "first", max_steps=1)
    AutoModelForPreTraining.from_pretrained(first).half().save_pretrained(first)
    second = train(tmp_path, corpus, "second", init_from=str(first), max_steps=1)
    weights = load_file(newest(second) / "model.safetensors").values()
    assert {weight.dtype for weight in weights if weight.is_floating_point()} == {torch.float32}


def test_a_rebuilt_vocabulary_is_exported_with_its_size(tmp_path, corpus):
    first = train(tmp_path, corpus, "first", max_steps=1)
    config = AutoConfig.from_pretrained(first)
    config.published_options = bilm_options(config)
    config.save_pretrained(first)
    options = {"init_from": str(first), "rebuild_vocabulary": True, "vocab_size": 25, "max_steps": 1}
    rebuilt = train(tmp_path, corpus, "rebuilt", **options)
    assert bilm_options(AutoConfig.from_pretrained(rebuilt))["n_tokens_vocab"] == 25


def test_special_words_may_stand_anywhere_in_the_vocabulary(tmp_path, corpus):
    words = sorted(set(corpus.read_text().split()))
    (tmp_path / "words.txt").write_text("\n".join(["</S>", words[0], "<UNK>", "<S>", *words[1:]]) + "\n")
    given = train(tmp_path, corpus, "given", vocab_file=str(tmp_path / "words.txt"), max_steps=1)
    rebuilt = train(tmp_path, corpus, "rebuilt", init_from=str(given), rebuild_vocabulary=True, max_steps=1)
    for folder, expected in ((given, (3, 0, 2)), (rebuilt, (0, 1, 2))):
        config = AutoModelForPreTraining.from_pretrained(folder).config
        assert (config.bos_token_id, config.eos_token_id, config.unk_token_id) == expected


def test_frozen_parts_do_not_train(tmp_path, corpus):
    first = train(tmp_path, corpus, "first", max_steps=3)
    second = train(tmp_path, corpus, "second", max_steps=6, init_from=str(first), frozen=["elmo.token_encoder"])
    before, after = (load_file(newest(each) / "model.safetensors") for each in (first, second))
    same = {name for name in before if before[name].equal(after[name])}
    assert same >= {name for name in before if name.startswith("elmo.token_encoder")}
    assert not any(name.startswith(("softmax", "elmo.lstm")) for name in same)


def test_what_cannot_be_gone_on_from_is_refused_at_once(tmp_path, corpus):
    adaptive = train(tmp_path, corpus, "adaptive", adaptive_softmax_cutoffs=[20], max_steps=1)
    ElmoModel.from_pretrained(adaptive).save_pretrained(tmp_path / "wordless")
    ElmoTokenizer().save_pretrained(tmp_path / "wordless")
    BertConfig().save_pretrained(tmp_path / "bert")
    for name, rebuild, message in (
        ("missing", True, "missing"),
        ("bert", True, "of type bert, not elmo"),
        ("wordless", False, "no vocabulary"),
        ("adaptive", True, "an adaptive softmax, whose vocabulary cannot be rebuilt"),
    ):
        with pytest.raises((OSError, ValueError), match=message):
            train(tmp_path, corpus, "run", init_from=str(tmp_path / name), rebuild_vocabulary=rebuild)
        assert not (tmp_path / "run").exists()


def test_text_that_is_empty_is_refused(tmp_path, corpus):
    few, empty = tmp_path / "few.txt", tmp_path / "empty.txt"
    few.write_text("one sentence\n" * 9)
    empty.write_text("\n \n")
    with pytest.raises(ValueError, match="held-out text is empty: .* a larger held_out_share than 0.1"):
        train(tmp_path, few, "run")
    with pytest.raises(ValueError, match="held-out text is empty: give validation_files with text"):
        train(tmp_path, corpus, "run", validation_files=[str(empty)])
    with pytest.raises(ValueError, match=r"training text is empty: there is no text in .*empty\.txt$"):
        train(tmp_path, empty, "run", validation_files=[str(few)])
    with pytest.raises(ValueError, match="training text is empty: .*few.txt, or none that is not held out"):
        train(tmp_path, few, "run", held_out_share=0.999999)


def test_a_missing_vocabulary_is_an_error_before_words_are_counted(tmp_path, corpus, monkeypatch):
    monkeypatch.delattr(texts, "count_words")
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        train(tmp_path, corpus, "run", vocab_file=str(tmp_path / "none.txt"), max_steps=None)


def test_words_are_counted_as_the_kept_tokenizer_splits_them(tmp_path, corpus):
    text = tmp_path / "raw.txt"
    text.write_text("So state-of-the-art systems, we can't say.\n" * 40)
    raw = {"text_format": "paragraphs", "train_files": [str(text)], "validation_files": [str(text)], "max_steps": None}
    first = train(tmp_path, corpus, "first", word_splitting="unicode", **raw)
    kept = train(tmp_path, corpus, "kept", init_from=str(first), **raw)
    assert (kept / "text.json").read_text() == (first / "text.json").read_text()


def test_the_unigram_model_is_of_the_vocabulary_that_is_given(tmp_path, corpus):
    options = {"num_epochs": 0.01, "max_steps": None}
    counted = train(tmp_path, corpus, "counted", vocab_size=None, **options)
    words = tmp_path / "words.txt"
    words.write_text((counted / "vocab.txt").read_text())
    given = train(tmp_path, corpus, "given", vocab_file=str(words), vocab_size=10, min_count=50, **options)
    assert (given / "text.json").read_text() == (counted / "text.json").read_text()
    words.write_text((counted / "vocab.txt").read_text() + "".join(f"unseen{number}\n" for number in range(100)))
    larger = train(tmp_path, corpus, "larger", vocab_file=str(words), **options)
    before, after = (json.loads((folder / "text.json").read_text())["unigram"] for folder in (given, larger))
    assert after > before, "words that the text lacks take their share"


def test_a_run_without_checkpoints_counts_its_words_anew(tmp_path, corpus):
    with pytest.raises(ValueError, match="between 0 and vocab_size .15."):
        train(tmp_path, corpus, "run", vocab_size=15, adaptive_softmax_cutoffs=[20])
    begun = train(tmp_path, corpus, "run", vocab_size=25, adaptive_softmax_cutoffs=[20], max_steps=1)
    assert AutoTokenizer.from_pretrained(begun).vocab_size == 25


def test_a_vocabulary_in_the_output_folder_outlives_overwrite(tmp_path, corpus):
    first = train(tmp_path, corpus, "run", max_steps=1)
    words = (first / "vocab.txt").read_text()
    train(tmp_path, corpus, "run", vocab_file=str(first / "vocab.txt"), max_steps=1, overwrite=True)
    assert (first / "vocab.txt").read_text() == words


def test_a_run_of_so_many_steps_goes_on_for_epochs(tmp_path, corpus):
    words = tmp_path / "words.txt"
    words.write_text("<S>\n</S>\n<UNK>\nwa0\nwb1\n")
    train(tmp_path, corpus, "run", vocab_file=str(words), max_steps=1)
    begun = train(tmp_path, corpus, "run", vocab_file=str(words), max_steps=None, num_epochs=0.2)
    positions = json.loads((begun / "text.json").read_text())["num_positions"]
    arguments = json.loads((begun / "pretraining.json").read_text())
    steps = math.ceil(0.2 * positions / (arguments["batch_size"] * arguments["unroll_steps"]))
    assert state_of(begun)["step"] == steps > 1


def test_short_sentences_have_no_neighbours_to_show(tmp_path, corpus):
    short = tmp_path / "short.txt"
    short.write_text("one sentence\n" * 40)
    train(tmp_path, corpus, "run", validation_files=[str(short)], show_neighbours=True, max_steps=1)


def test_a_full_disk_is_said_plainly(tmp_path, corpus):
    train(tmp_path, corpus, "run", max_steps=3)
    command = [sys.executable, "-c", FULL, str(PRETRAIN), str(write_recipe(tmp_path, corpus, "run"))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert re.search(r"(?m)^error: .*step-00000006 cannot be written \(.*the checkpoint before", result.stderr)
    assert state_of(train(tmp_path, corpus, "run"))["step"] == 12


# Beyond so many bytes a write fails, as on a full disk.
FULL = """
import resource, runpy, sys
del sys.argv[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_weights_that_are_not_finite_are_not_saved(tmp_path, corpus):
    options = {"learning_rate": 1e38, "max_grad_norm": None, "schedule": "constant", "optimizer": "sgd"}
    options |= {"save_steps": 1, "eval_steps": 100, "logging_steps": 100, "max_steps": 50}
    with pytest.raises(FloatingPointError, match="weights are not finite at step .* last checkpoint is from before"):
        train(tmp_path, corpus, "run", **options)
    for folder in saved_checkpoints(tmp_path / "run"):
        assert all(weight.isfinite().all() for weight in load_file(folder / "model.safetensors").values())


def test_infinite_perplexity_is_an_error(tmp_path, corpus, monkeypatch):
    perplexities = iter([Perplexity(70.0, 70.0), Perplexity(math.inf, 70.0)])
    monkeypatch.setattr("modeling_elmo.pretraining.trainer.evaluate", lambda *_: next(perplexities))
    with pytest.raises(FloatingPointError, match="held-out perplexity is inf at step 6: lower learning_rate"):
        train(tmp_path, corpus, "run")


def test_recipes_are_checked(tmp_path, corpus):
    with pytest.raises(ValueError, match="no option is called 'cell_sizes'"):
        train(tmp_path, corpus, "run", cell_sizes=3)
    with pytest.raises(ValueError, match="dropout is 'much'; it must be of type"):
        train(tmp_path, corpus, "run", dropout="much")
    with pytest.raises(ValueError, match="optimizer is 'lion'; choose one of"):
        train(tmp_path, corpus, "run", optimizer="lion")
    with pytest.raises(ValueError, match="state_reset is 2"):
        train(tmp_path, corpus, "run", state_reset=2)
    for options, message in (
        ({"adaptive_softmax_cutoffs": [30, 20]}, "adaptive_softmax_cutoffs is .30, 20."),
        ({"filters": ["60:4"]}, "filters"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be at least 1"),
        ({"shuffle_buffer": 0}, "shuffle_buffer is 0; it must be at least 1"),
        ({"max_grad_norm": 0}, "max_grad_norm is 0; it must be positive and finite"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be positive and finite"),
        ({"num_epochs": math.inf}, "num_epochs is inf; it must be positive and finite"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"beta2": 1.5}, "beta2 is 1.5; it must be between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tmp_path, corpus, "run", **options)
        assert not (tmp_path / "run").exists(), "nothing was counted"
    latin = tmp_path / "latin.json"
    latin.write_text('{"output_dir": "modèle"}', encoding="latin-1")
    with pytest.raises(ValueError, match=r"latin\.json is not a JSON file: 'utf-8' codec"):
        parse_arguments([str(latin)])
    recipe = write_recipe(tmp_path, corpus, "run")
    arguments = parse_arguments([str(recipe), "--cell_size", "24", "--filters", "1:2", "3:4"])
    assert arguments.model.cell_size == 24 and arguments.model.projection_size == 8
    assert arguments.config(100).filters == [[1, 2], [3, 4]]
    arguments = parse_arguments([str(recipe), "--projection_size", "null", "--max-grad-norm=null"])
    assert arguments.model.projection_size is None and arguments.training.max_grad_norm is None
    recipe = write_recipe(tmp_path, corpus, "run", adaptive_softmax_cutoffs=[30], validation_files=["text.txt"])
    arguments = parse_arguments([str(recipe), "--adaptive_softmax_cutoffs", "null", "--validation_files", "null"])
    assert arguments.model.adaptive_softmax_cutoffs is None and arguments.data.validation_files is None
    assert parse_arguments([str(recipe), "--forget_bias", "0"]).config(100).forget_bias == 0
