"""transformers' own shared tests, which ship in its source distribution, as the package `transformers_tests`.

Set TRANSFORMERS_SOURCE to the unpacked source distribution. A test module asks for what it needs with
`pytest.importorskip("transformers_tests.test_modeling_common", reason=...)`, and is skipped where it is unset.
"""

import importlib.machinery
import os
import sys
from pathlib import Path
from types import ModuleType

import transformers.utils

MARKERS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "is_pipeline_test",
    "is_staging_test",
    "is_training_test",
    "torch_compile_test",
)
# What the shared tests import from folders that the source distribution leaves out.
LEFT_OUT = {
    "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    "utils.test_configuration_utils": {
        "config_common_kwargs": {
            "return_dict": False,
            "output_hidden_states": True,
            "dtype": "float16",
            "architectures": ["BertModel"],
            "finetuning_task": "translation",
            "id2label": {0: "label"},
            "label2id": {"label": "0"},
            "problem_type": "regression",
        }
    },
}


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: set by transformers' shared tests")


def add_module(name: str, path: Path | None = None, **content) -> None:
    """A module, or a package where there is a path, known as `name` from here on."""
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=path is not None)
    if path is not None:
        module.__path__ = [str(path)]
    vars(module).update(content)
    sys.modules[name] = module


def register_shared_tests(source: Path) -> None:
    tests = source / "tests"
    if not (tests / "test_modeling_common.py").is_file():
        raise FileNotFoundError(
            f"TRANSFORMERS_SOURCE is {source}, which has no tests/test_modeling_common.py; set it to the unpacked "
            "source distribution of transformers, or unset it to skip the shared tests"
        )
    # Under their own name `tests` they would clash with ours.
    add_module("transformers_tests", tests)
    for name, content in LEFT_OUT.items():
        folder = name.split(".")[0]
        add_module(f"transformers_tests.{folder}", tests / folder)
        add_module(f"transformers_tests.{name}", **content)
    # They would execute `__init__.py` files that are not there, to reach the very transformers that is installed.
    transformers.utils.direct_transformers_import = lambda *args, **kwargs: transformers


if os.environ.get("TRANSFORMERS_SOURCE"):
    register_shared_tests(Path(os.environ["TRANSFORMERS_SOURCE"]))
