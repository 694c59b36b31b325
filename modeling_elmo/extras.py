"""Libraries that only some of the package's work needs, the extras of pyproject.toml."""

import importlib
from types import ModuleType


def require(module: str, extra: str, what: str) -> ModuleType:
    """The module, which `what` needs.

    Raises:
        ImportError: it is not installed; the message says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != library:  # it is there, but lacks something itself
            raise
        raise ImportError(f"{what} needs {library}: pip install 'modeling-elmo[{extra}]'") from error
