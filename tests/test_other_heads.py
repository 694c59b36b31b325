"""A checkpoint of one task's head, loaded as another's: never silently."""

import itertools

import pytest
from tiny_heads import HEADS, make_head

LABELS = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}


@pytest.mark.parametrize(("saved", "loaded"), itertools.permutations(HEADS, 2))
def test_what_does_not_fit_is_reported(saved, loaded, tmp_path):
    """Some names are those of several heads (`encoder`, as BERT's heads share `classifier`); transformers says what
    is missing and what is left over, or refuses where sizes differ."""
    make_head(saved, **LABELS).save_pretrained(tmp_path)
    try:
        _, report = loaded.from_pretrained(tmp_path, output_loading_info=True)
    except RuntimeError as error:
        assert "ignore_mismatched_sizes" in str(error)
        return
    for keys in (report["missing_keys"], report["unexpected_keys"]):
        assert keys and not any(key.startswith("elmo.") for key in keys)
