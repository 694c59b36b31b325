"""`elmo export CHECKPOINT TARGET`"""

import argparse

from ..conversion import export


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("checkpoint", help="folder or repository that transformers loads")
    parser.add_argument("target", help="folder to write options.json, weights.hdf5 and vocab.txt into")
    parser.add_argument("--overwrite", action="store_true", help="replace files of TARGET")


def run(args: argparse.Namespace):
    export(args.checkpoint, args.target, overwrite=args.overwrite)
    print(f"{args.target}: options.json, weights.hdf5")
