"""Which sentences are computed together."""

import itertools
import random

from modeling_elmo.embedding import batches


def test_batches_hold_every_sentence_once_and_keep_their_size():
    draw = random.Random(0)
    lengths = [draw.choice([0, 1, 5, 20, 200, 3000, 9000]) for _ in range(500)]
    made = list(batches.batches(lengths))
    assert sorted(itertools.chain.from_iterable(made)) == list(range(500))
    for batch in made:
        size = len(batch) * (max(lengths[number] for number in batch) + 2)
        assert size <= batches.BATCH_TOKENS or len(batch) == 1
