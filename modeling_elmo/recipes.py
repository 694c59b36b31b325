"""How a script that trains ends."""

import sys
from collections.abc import Callable
from typing import Any

import torch.distributed as dist


def run_recipe(main: Callable[..., Any], *arguments: Any):
    """Calls `main(*arguments)`. What is wrong with its input ends the process with one line; of several processes
    each leaves their group when it is done."""
    try:
        main(*arguments)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    # The group's threads may hold tensors for a moment more: one that lets go of them while Python ends aborts.
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
