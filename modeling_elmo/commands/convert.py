"""`elmo convert SOURCE [SOURCE ...] TARGET`"""

import argparse

from tokenization_elmo import WORD_SPLITTINGS

from ..conversion import convert


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "source",
        nargs="+",
        help="options.json and weights.hdf5 (and vocab.txt), or a folder or zip archive with these or with the files "
        "of an ELMoForManyLangs model; where a file lies elsewhere, name it as well",
    )
    parser.add_argument("target", help="folder to write")
    parser.add_argument(
        "--word-splitting",
        choices=WORD_SPLITTINGS,
        default="treebank",
        help="how the tokenizer shall split raw text into words (default: %(default)s)",
    )
    parser.add_argument("--no-softmax", action="store_true", help="leave the language models' softmax out")
    parser.add_argument("--overwrite", action="store_true", help="replace files of TARGET")


def run(args: argparse.Namespace):
    checkpoint = convert(
        args.source,
        args.target,
        word_splitting=args.word_splitting,
        softmax=not args.no_softmax,
        overwrite=args.overwrite,
    )
    model, words = checkpoint.model, checkpoint.tokenizer.vocab_size
    print(f"{args.target}: {type(model).__name__}, {model.num_parameters():,} parameters, {words:,} known words")
