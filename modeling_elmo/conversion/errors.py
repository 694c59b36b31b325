"""What can be wrong with a file that is to be converted, and with the folder that is to be written."""

from collections.abc import Mapping
from pathlib import Path


class ConversionError(ValueError):
    """A file is missing, damaged, foreign, or does not fit the others; the message names it and what to do."""


def check_shapes(
    path: Path, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], source: str | Path
):
    """Compares the arrays found in `path` with those that the options in `source` ask for."""
    problems = [f"{key} of shape {expected[key]} is missing" for key in expected if key not in found]
    problems += [f"{key} of shape {found[key]} is unexpected" for key in found if key not in expected]
    problems += [
        f"{key} has shape {found[key]} where {expected[key]} is needed"
        for key in expected
        if key in found and found[key] != expected[key]
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ConversionError(f"{path} does not fit {source}: {shown}")
