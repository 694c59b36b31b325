"""Libraries that may be missing."""

import math

import pytest

from modeling_elmo.extras import require


def test_what_is_installed_is_imported():
    assert require("math", "train", "counting") is math


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part"])
def test_what_is_missing_is_named_with_its_extra(module):
    message = r"a\.txt: reading it needs no_such_library: pip install 'modeling-elmo\[train\]'"
    with pytest.raises(ImportError, match=message):
        require(module, "train", "a.txt: reading it")


def test_what_is_broken_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="^No module named 'no_such_library'$"):
        require("broken_library", "train", "reading")
