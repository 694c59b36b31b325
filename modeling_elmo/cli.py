"""The console command `elmo`: one sub-command a verb, each in a module of its own.

Such a module has `add_arguments(parser)` and `run(args)`. In `run`, a `ValueError`, an `OSError` or an `ImportError`
is a mistake of the user or of the files given: it ends the command with one line and exit code 2.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from .commands import convert, embed, export, score, substitutes, vocab

# verb: (module, what `elmo --help` says of it)
COMMANDS = {
    "convert": (convert, "published weights to a folder that transformers loads"),
    "export": (export, "a checkpoint back to options.json and weights.hdf5"),
    "embed": (embed, "a text's vectors, in the files that older pipelines read"),
    "vocab": (vocab, "the words of a corpus by falling count, for pretraining"),
    "score": (score, "perplexity of a text, and every word's surprisal in both directions"),
    "substitutes": (substitutes, "the most probable words in a place of a sentence"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="elmo", description="ELMo for Hugging Face transformers.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
        return 141
    except (ValueError, OSError, ImportError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"elmo {args.command}: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
