"""A picture of a run: training loss and held-out perplexity against the words read."""

from pathlib import Path
from typing import Any


def draw_learning_curve(
    path: Path, losses: list[dict[str, Any]], evaluations: list[dict[str, Any]], unigram: float | None
) -> None:
    """Writes the picture, where matplotlib is installed.

    Args:
        path: of the picture; its suffix is its format.
        losses: `words` and `loss` (nats a word) of the training.
        evaluations: `words`, `forward` and `backward` perplexity.
        unigram: perplexity of a model without context, drawn as a line.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([each["words"] for each in losses], [each["loss"] for each in losses], color="gray")
    left.set(xlabel="words read", ylabel="training loss (nats a word)")
    for direction in ("forward", "backward"):
        points = [(each["words"], each[direction]) for each in evaluations if each.get(direction) is not None]
        if points:
            right.plot(*zip(*points, strict=True), marker="o", markersize=3, label=direction)
    if unigram is not None:
        right.axhline(unigram, color="gray", linestyle="--", label="unigram")
    right.set(xlabel="words read", ylabel="held-out perplexity", yscale="log")
    right.legend()
    figure.savefig(path, dpi=120)
