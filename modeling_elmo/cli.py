"""The console command `elmo`: one sub-command a verb, each in a module of its own.

Such a module has `add_arguments(parser)` and `run(args)`, and is imported only when its verb is used. In `run`, a
`ValueError`, an `OSError` or an `ImportError` is a mistake of the user or of the files given: it ends the command with
one line and exit code 2.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

# verb: (module, what `elmo --help` says of it)
COMMANDS = {
    "convert": ("modeling_elmo.commands.convert", "published weights to a folder that transformers loads"),
    "export": ("modeling_elmo.commands.export", "a checkpoint back to options.json and weights.hdf5"),
    "embed": ("modeling_elmo.commands.embed", "a text's vectors, in the files that older pipelines read"),
    "vocab": ("modeling_elmo.commands.vocab", "the words of a corpus by falling count, for pretraining"),
    "score": ("modeling_elmo.commands.score", "perplexity of a text, and every word's surprisal in both directions"),
    "substitutes": ("modeling_elmo.commands.substitutes", "the most probable words in a place of a sentence"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="elmo", description="ELMo for Hugging Face transformers.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    module = None
    if argv and argv[0] in COMMANDS:
        module = import_module(COMMANDS[argv[0]][0])
        module.add_arguments(commands.choices[argv[0]])
    args = parser.parse_args(argv)
    try:
        module.run(args)
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
