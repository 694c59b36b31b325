"""Seconds from a checkpoint folder on a warm disk to a model, and to its first vectors.

    python scripts/benchmark_loading.py                     # random weights of the original size
    python scripts/benchmark_loading.py --checkpoint FOLDER

Loading is timed in a process of its own, without the imports.
"""

import argparse
import subprocess
import sys
import tempfile

from benchmark_tools import SIZES

from modeling_elmo import ElmoConfig, ElmoModel

LOAD = """
import sys, time
import torch
from modeling_elmo import ElmoModel
seconds = []
for _ in range(3):
    start = time.perf_counter()
    model = ElmoModel.from_pretrained(sys.argv[1])
    seconds.append(time.perf_counter() - start)
print(f"from_pretrained: {min(seconds):.2f} s ({sum(p.numel() for p in model.parameters()):,} parameters)")
rows = torch.full((1, 20, model.config.max_characters_per_token), 261, dtype=torch.int16)
rows[..., :5] = torch.randint(1, 256, (1, 20, 5))
for name in ("first", "second"):
    start = time.perf_counter()
    with torch.inference_mode():
        model(rows)
    print(f"{name} sentence of 20 words: {time.perf_counter() - start:.2f} s")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="original")
    parser.add_argument("--checkpoint", help="instead of random weights of --size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.checkpoint:
            ElmoModel(ElmoConfig(**SIZES[arguments.size])).save_pretrained(folder)
        subprocess.run([sys.executable, "-c", LOAD, arguments.checkpoint or folder], check=True)


if __name__ == "__main__":
    main()
