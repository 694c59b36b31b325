"""Finding prose in documentation."""

import pytest

from modeling_elmo.pretraining.prose import is_prose, paragraphs

DOCUMENTATION = """Compute the *mean* of a ``list`` of numbers.

The result is a :class:`~decimal.Decimal` unless `exact` is false [1]_, e.g. for
speed. See the `manual <https://example.org>`_ for more::

    mean([1, 2, 3])

    This is a comment in code.

Parameters
----------
values : list
    The numbers to take the mean of.

Args:
    values: The numbers.

- An item of a list that is a sentence.

.. note:: This is a directive.

>>> mean([1])
This is output.

```python
Some code in a fence.
```

======  =======
Name    Meaning
======  =======

    An indented paragraph is
    running text as well.
"""


def test_only_running_text_remains_and_markup_is_gone():
    assert list(paragraphs(DOCUMENTATION)) == [
        "Compute the mean of a list of numbers.",
        "The result is a decimal.Decimal unless exact is false, for example for speed. See the manual for more::",
        "An indented paragraph is running text as well.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "This is a plain sentence of English.",
        "If it is not (as it may be), then the user's choice is used instead.",
        'He said "no" to all of them!',
    ],
)
def test_prose(sentence):
    assert is_prose(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "the sentence begins in the middle.",
        "There is no end to this",
        "Too short.",
        "It returns x = y + 1 for all of them.",
        "Call the function foo() with it.",
        "The module os.path is the one to use.",
        "Set the_variable to what you want.",
        "Apple Banana Cherry Date Elderberry Fig Grape.",
        "There is one parenthesis (open in this one.",
        "The steps of it are the following: 1.",
        "See https://example.org for the rest of it.",
        "This is " + "very " * 60 + "long.",
    ],
)
def test_no_prose(sentence):
    assert not is_prose(sentence)
