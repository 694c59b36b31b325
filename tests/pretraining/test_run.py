"""How a run begins."""

import pytest

from modeling_elmo.pretraining.arguments import TrainingArguments
from modeling_elmo.pretraining.run import check_batch_sizes


def test_batch_sizes_that_cannot_be_divided_are_refused_at_the_start():
    check_batch_sizes(TrainingArguments(batch_size=6), 3)
    with pytest.raises(ValueError, match="^batch_size 6 cannot be divided among 4 processes"):
        check_batch_sizes(TrainingArguments(batch_size=6), 4)
    with pytest.raises(ValueError, match="eval_batch_size 2 cannot be divided among 3 processes"):
        check_batch_sizes(TrainingArguments(batch_size=6, eval_batch_size=2), 3)
    with pytest.raises(ValueError, match="accumulation_steps 4 cannot divide the 6 streams of a process"):
        check_batch_sizes(TrainingArguments(batch_size=12, accumulation_steps=4), 2)
