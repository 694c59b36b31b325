"""Checkpoints in a process in which this package cannot be imported: their code travels with them."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
import transformers
from transformers.dynamic_module_utils import get_relative_import_files

import modeling_elmo
from modeling_elmo import ElmoPreTrainedModel, ElmoTokenizer
from modeling_elmo.configuration_elmo import AUTO_MAP

PACKAGE = Path(modeling_elmo.__file__).parent
WORDS = ["<S>", "</S>", "<UNK>", "the", "river", "bank"]
MODEL_CLASSES = sorted(
    (getattr(modeling_elmo, name) for name in modeling_elmo.__all__ if name.startswith(("ElmoModel", "ElmoFor"))),
    key=lambda model_class: model_class.__name__,
)
HEADS = sorted(path.stem for path in PACKAGE.glob("modeling_elmo_*.py"))


def classes_of(module_name: str) -> list[type]:
    """Model classes that a module defines."""
    module = importlib.import_module(f"modeling_elmo.{module_name}")
    values = (value for value in vars(module).values() if isinstance(value, type))
    return [
        value for value in values if issubclass(value, ElmoPreTrainedModel) and value.__module__ == module.__name__
    ]


# What is registered


def test_every_auto_class_loads_what_the_map_says():
    for auto_class, reference in AUTO_MAP.items():
        module, _, name = reference.partition(".")
        expected = getattr(importlib.import_module(f"modeling_elmo.{module}"), name)
        assert expected is getattr(modeling_elmo, name)
        assert expected._auto_class is not None  # or else its code would not be saved
        if auto_class != "AutoConfig":
            assert getattr(transformers, auto_class)._model_mapping[modeling_elmo.ElmoConfig] is expected


@pytest.mark.parametrize("module_name", HEADS)
def test_no_head_is_forgotten(module_name):
    heads = classes_of(module_name)
    assert heads
    for head in heads:
        # Its code is copied beside every checkpoint ...
        assert f"{module_name}.py" in {
            Path(path).name for path in get_relative_import_files(PACKAGE / "modeling_elmo.py")
        }
        # ... because its name stands at the end of modeling_elmo.py ...
        source = ast.parse((PACKAGE / "modeling_elmo.py").read_text())
        imported = {
            alias.name
            for node in source.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for statement in node.body
            for alias in statement.names
        }
        assert head.__name__ in imported
        # ... it is public, and loads by an Auto class where there is one for its task.
        assert head.__name__ in modeling_elmo.__all__
        reference = f"{module_name}.{head.__name__}"
        task = head.__name__.removeprefix("Elmo").replace("For", "AutoModelFor", 1)
        if hasattr(transformers, task):
            assert AUTO_MAP.get(task) == reference
        else:
            assert reference not in AUTO_MAP.values()
            assert head._auto_class is not None


TRAVELLING = [PACKAGE / "modeling_elmo.py", *map(Path, get_relative_import_files(PACKAGE / "modeling_elmo.py"))]


@pytest.mark.parametrize("path", sorted({path.name for path in TRAVELLING}))
def test_code_that_travels_imports_what_is_there_everywhere(path):
    """Flat siblings by one dot, and the core dependencies: nothing else is copied or can be counted on. What a `try`
    imports may be missing."""
    everywhere = {"torch", "transformers", "tokenizers", "safetensors", "numpy", "huggingface_hub"}
    tree = ast.parse((PACKAGE / path).read_text())
    optional = {node for attempt in ast.walk(tree) if isinstance(attempt, ast.Try) for node in ast.walk(attempt)}
    for node in set(ast.walk(tree)) - optional:
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module and "." not in node.module, ast.unparse(node)
            assert (PACKAGE / f"{node.module}.py").is_file(), ast.unparse(node)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            roots = {name.partition(".")[0] for name in names}
            assert roots <= everywhere | set(sys.stdlib_module_names), ast.unparse(node)


# What is saved


@pytest.fixture(scope="module")
def folders(make_model, tmp_path_factory) -> dict[str, Path]:
    """A saved model of each class, with a tokenizer."""
    folders = {}
    for model_class in MODEL_CLASSES:
        folder = tmp_path_factory.mktemp("saved") / model_class.__name__
        make_model(model_class, vocab_size=len(WORDS), num_negative_samples=2).save_pretrained(folder)
        ElmoTokenizer(WORDS).save_pretrained(folder)
        folders[model_class.__name__] = folder
    return folders


def code_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.py")}


def test_every_checkpoint_has_all_code_and_the_whole_map(folders):
    expected = {path.name: path.read_text() for path in TRAVELLING}
    expected["tokenization_elmo.py"] = Path(sys.modules["tokenization_elmo"].__file__).read_text()
    for name, folder in folders.items():
        assert code_in(folder) == expected, name
        config = json.loads((folder / "config.json").read_text())
        assert config["auto_map"] == AUTO_MAP, name
        assert config["architectures"] == [name]


WITHOUT_PACKAGE = """
import json, sys
from pathlib import Path

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("modeling_elmo", "tokenization_elmo"):
            raise ModuleNotFoundError(f"{name} is hidden")

sys.meta_path.insert(0, Hidden())
for name in ("modeling_elmo", "tokenization_elmo"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} is not hidden")

import torch
import transformers
from transformers.dynamic_module_utils import get_class_from_dynamic_module

for name, folder in json.loads(sys.argv[1]).items():
    trusted = {"pretrained_model_name_or_path": folder, "trust_remote_code": True}
    config = transformers.AutoConfig.from_pretrained(**trusted)
    tokenizer = transformers.AutoTokenizer.from_pretrained(**trusted)
    inputs = tokenizer(["the river bank", "unknown wörds"], padding=True, return_tensors="pt")
    vectors = {}
    own = [auto_class for auto_class, reference in config.auto_map.items() if reference.endswith("." + name)]
    if name in ("ElmoModel", "ElmoForPreTraining"):  # those that a new head is put on
        own = [auto_class for auto_class in config.auto_map if auto_class != "AutoConfig"]
    for auto_class in {"AutoModel": 0, **dict.fromkeys(own)}:
        model = getattr(transformers, auto_class).from_pretrained(**trusted).eval()
        assert config.auto_map[auto_class].endswith("." + type(model).__name__), (auto_class, type(model))
        with torch.no_grad():
            vectors[auto_class] = model.base_model(**inputs).last_hidden_state
        assert torch.equal(vectors[auto_class], vectors["AutoModel"]), auto_class
        if type(model).__name__ == name:
            saved = model
    if not own:  # transformers has no Auto class for it
        (module,) = (path.stem for path in Path(folder).glob("*.py") if f"class {name}(" in path.read_text())
        saved = get_class_from_dynamic_module(f"{module}.{name}", folder).from_pretrained(folder).eval()
    assert type(saved).__name__ == name
    torch.save({"vectors": vectors["AutoModel"], "state": saved.state_dict()}, f"{folder}/found.pt")
    saved.save_pretrained(f"{folder}-again")
    tokenizer.save_pretrained(f"{folder}-again")
"""


def run_without_package(folders: dict[str, str], tmp_path: Path):
    command = [sys.executable, "-c", WITHOUT_PACKAGE, json.dumps(folders)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_load_save_and_load_without_the_package(folders, tmp_path):
    run_without_package({name: str(folder) for name, folder in folders.items()}, tmp_path)
    again = {name: folder.with_name(f"{name}-again") for name, folder in folders.items()}
    run_without_package({name: str(folder) for name, folder in again.items()}, tmp_path)
    for model_class in MODEL_CLASSES:
        name = model_class.__name__
        model = model_class.from_pretrained(folders[name])
        inputs = ElmoTokenizer.from_pretrained(folders[name])(
            ["the river bank", "unknown wörds"], padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            expected = model.base_model(**inputs).last_hidden_state
        for folder in (folders[name], again[name]):
            found = torch.load(folder / "found.pt")
            torch.testing.assert_close(found["vectors"], expected, rtol=0, atol=1e-6)
            state = model.state_dict()
            assert found["state"].keys() == state.keys()
            assert all(torch.equal(found["state"][key], state[key]) for key in state)
        assert code_in(again[name]) == code_in(folders[name])
        first, second = (json.loads((folder / "config.json").read_text()) for folder in (folders[name], again[name]))
        assert first == second


@pytest.mark.parametrize("auto_class", sorted(set(AUTO_MAP) - {"AutoConfig"}))
def test_with_the_package_no_remote_code_is_needed(folders, auto_class):
    for folder in (folders["ElmoModel"], folders["ElmoForPreTraining"]):
        model = getattr(transformers, auto_class).from_pretrained(folder)
        assert type(model) is getattr(modeling_elmo, AUTO_MAP[auto_class].partition(".")[2])
        assert type(transformers.AutoTokenizer.from_pretrained(folder)) is ElmoTokenizer


class UploadedFiles:
    """Takes the Hub's place: keeps what is uploaded."""

    def __init__(self):
        self.files = {}

    def create_repo(self, repo_id, **kwargs):
        return mock.Mock(repo_id=repo_id)

    def create_commit(self, operations, **kwargs):
        for operation in operations:
            self.files[operation.path_in_repo] = Path(operation.path_or_fileobj).read_bytes()


@pytest.mark.parametrize("name", ["ElmoModel", "ElmoForTokenClassification"])
def test_push_to_hub_uploads_the_same_files(folders, name):
    hub = UploadedFiles()
    folder = folders[name]
    with (
        mock.patch("transformers.utils.hub.hf_api", return_value=hub),
        mock.patch("transformers.utils.hub.create_and_tag_model_card"),
    ):
        getattr(modeling_elmo, name).from_pretrained(folder).push_to_hub("someone/elmo")
        ElmoTokenizer.from_pretrained(folder).push_to_hub("someone/elmo")
    saved = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".pt"}
    hub.files.pop("README.md", None)
    assert hub.files.keys() == saved.keys()
    for file in saved.keys() - {"tokenizer_config.json"}:
        assert hub.files[file] == saved[file], file
    pushed, kept = (json.loads(files["tokenizer_config.json"]) for files in (hub.files, saved))
    assert {key: pushed[key] for key in kept} == kept  # where it was loaded from is added
