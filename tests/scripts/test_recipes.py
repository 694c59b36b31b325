"""How a script ends: in one line where its input is wrong, and outside of any process group."""

import pytest
import torch.distributed as dist

from modeling_elmo.recipes import run_recipe


def fail(error: Exception):
    raise error


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, ModuleNotFoundError, FloatingPointError])
def test_what_is_wrong_with_input_is_said_in_one_line(error):
    with pytest.raises(SystemExit, match="^error: what is wrong$"):
        run_recipe(fail, error("what is wrong"))


def test_other_errors_keep_their_traceback():
    with pytest.raises(KeyError):
        run_recipe(fail, KeyError("a mistake of ours"))


def test_the_process_leaves_its_group(tmp_path):
    seen = []

    def main(folder):
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
        seen.append(dist.is_initialized())

    run_recipe(main, tmp_path)
    assert seen == [True] and not dist.is_initialized()
