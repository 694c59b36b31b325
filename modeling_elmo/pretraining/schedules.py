"""How the learning rate changes: shares of the highest rate, as functions of the step alone."""

import math
from collections.abc import Callable


def constant(progress: float, final: float) -> float:
    return 1.0


def linear(progress: float, final: float) -> float:
    return 1.0 - (1.0 - final) * progress


def cosine(progress: float, final: float) -> float:
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))


# plateau: constant, but the trainer halves it whenever held-out perplexity stops falling, see `plateau_share`.
SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "plateau": constant,
}


def learning_rate_share(schedule: str, step: int, max_steps: int, warmup_steps: int, final: float) -> float:
    """Share of the highest learning rate at `step`, from 0: it rises linearly, then follows the schedule."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, max_steps - warmup_steps)
    return SCHEDULES[schedule](min(1.0, progress), final)


def plateau_share(perplexities: list[float], improvement: float) -> float:
    """Share of the learning rate after these held-out perplexities: half for each that fell by less than `improvement`
    from the one before it (Kim et al., 2016, section 3.1)."""
    steps = zip(perplexities, perplexities[1:], strict=False)
    return 0.5 ** sum(before - after < improvement for before, after in steps)
