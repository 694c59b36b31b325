"""`elmo export CHECKPOINT TARGET`"""

import argparse
from pathlib import Path

import torch

from ..conversion import export
from ..loading import load
from ..modeling_elmo import ElmoModel
from ..onnx_export import export_onnx
from ..text_files import require_free


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("checkpoint", help="folder or repository that transformers loads")
    parser.add_argument(
        "target", help="folder to write options.json, weights.hdf5 and vocab.txt into, or a file X.onnx for ONNX"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there under TARGET")


def run(args: argparse.Namespace):
    target = Path(args.target)
    if target.suffix != ".onnx":
        export(args.checkpoint, target, overwrite=args.overwrite)
        print(f"{target}: options.json, weights.hdf5")
        return
    require_free(target, args.overwrite)
    export_onnx(load(ElmoModel, args.checkpoint, dtype=torch.float32), target)
    print(target)
