"""Running a recipe's script, and a tiny pretrained model for it."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modeling_elmo import ElmoForPreTraining, ElmoTokenizer

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="session")
def tiny_elmo(tmp_path_factory, make_model) -> str:
    """The folder of a tiny language model whose parameters are random."""
    folder = tmp_path_factory.mktemp("elmo") / "tiny-elmo"
    make_model(
        ElmoForPreTraining, cell_clip=3.0, projection_clip=3.0, projection_size=16, cell_size=16
    ).save_pretrained(folder)
    ElmoTokenizer(vocab=[f"word{number}" for number in range(17)]).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def finetune(monkeypatch) -> Callable[..., dict]:
    """`finetune(task, output, *options)` runs `scripts/finetune_<task>.py`; returns the metrics that it leaves."""

    def run(task: str, output: Path, *options: object) -> dict[str, dict[str, float]]:
        arguments = [f"finetune_{task}.py", "--output_dir", str(output), "--use_cpu", "--disable_tqdm", "true"]
        monkeypatch.setattr(sys, "argv", [*arguments, *map(str, options)])
        runpy.run_path(str(SCRIPTS / f"finetune_{task}.py"), run_name="__main__")
        return json.loads((output / "summary.json").read_text())["metrics"]

    return run
