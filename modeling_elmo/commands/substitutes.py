"""`elmo substitutes CHECKPOINT SENTENCE --position N`"""

import argparse

from ..scoring import load_language_model, substitutes


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("checkpoint", help="folder or repository that transformers loads, with a softmax")
    parser.add_argument("sentence", help="one sentence")
    parser.add_argument("--position", type=int, required=True, help="of the word to replace, from 1")
    parser.add_argument("--top", type=int, default=10, metavar="K", help="how many words (default: %(default)s)")
    parser.add_argument(
        "--frequency-weight",
        type=float,
        default=1.0,
        metavar="W",
        help="p(w) is proportional to p(w | before) * p(w | behind) / frequency(w) ** W, the frequency by the word's "
        "rank in the vocabulary (default: %(default)s, Bayes' rule for independent contexts)",
    )
    parser.add_argument(
        "--tokenized",
        action="store_true",
        help="words are what stands between white space; otherwise the checkpoint's tokenizer splits the sentence",
    )
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU if there is one)")


def run(args: argparse.Namespace):
    model, tokenizer = load_language_model(args.checkpoint, device=args.device)
    words = args.sentence.split() if args.tokenized else tokenizer.split_words(args.sentence)
    found = substitutes(model, words, args.position, args.top, args.frequency_weight, tokenizer)
    print("word\tlog_probability\tforward\tbackward")
    for item in found:
        backward = "" if item.backward is None else f"{item.backward:.4f}"
        print(f"{item.word}\t{item.log_probability:.4f}\t{item.forward:.4f}\t{backward}")
