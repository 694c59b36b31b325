"""`elmo embed CHECKPOINT INPUT OUTPUT`"""

import argparse
import sys

from ..embedding.embed_file import LAYOUTS, embed_file
from ..embedding.vectors import LAYERS
from ..loading import PRECISIONS


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("checkpoint", help="folder or repository that transformers loads")
    parser.add_argument(
        "input",
        help="UTF-8 text, plain, .gz or .zst, one sentence a line; '-' is standard input. For --layout e2e-coref, "
        "JSON lines with doc_key and sentences",
    )
    parser.add_argument("output", help="file to write: .hdf5 (or .h5), .safetensors or .npz; an array for every line")
    parser.add_argument(
        "--layers",
        choices=LAYERS,
        default="all",
        help="all: (layers, T, 2P); top, average: (T, 2P); mix: the checkpoint's combination (default: %(default)s)",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="allennlp",
        help="of HDF5 files: with sentence_to_index, without it, or documents (default: %(default)s)",
    )
    parser.add_argument(
        "--tokenized",
        action="store_true",
        help="words are what stands between white space; otherwise the checkpoint's tokenizer splits the lines",
    )
    parser.add_argument("--boundaries", action="store_true", help="keep the vectors of <S> and </S>")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU if there is one)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the products: bfloat16 and int8 (on CPU) are faster and less exact (default: that of the checkpoint)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace OUTPUT, or what another job left unfinished of it"
    )


def run(args: argparse.Namespace):
    try:
        summary = embed_file(
            args.checkpoint,
            args.input,
            args.output,
            layers=args.layers,
            tokenized=args.tokenized,
            layout=args.layout,
            boundaries=args.boundaries,
            overwrite=args.overwrite,
            device=args.device,
            precision=args.precision,
        )
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        raise
    speed = summary.new_words / max(summary.seconds, 1e-9)
    print(f"{args.output}: {summary.sentences:,} sentences, {summary.words:,} words ({speed:,.0f} words per second)")
    if summary.new_words < summary.words:
        print(f"{summary.words - summary.new_words:,} of the words were there from an interrupted run")
    if summary.empty_lines:
        print(f"{summary.empty_lines:,} lines without words: their arrays have T = 0")
