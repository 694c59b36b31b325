"""Pretrains a bidirectional language model.

    python scripts/pretrain.py                              a small model of English in minutes, with no download
    python scripts/pretrain.py --train_files corpus.txt.gz  --output_dir elmo-mine
    python scripts/pretrain.py scripts/recipes/X.json --train_files ... --output_dir ...

A recipe is a JSON file of options; flags after it override them. The same command goes on from the last checkpoint.
Several processes: python -m torch.distributed.run --nproc_per_node 8 scripts/pretrain.py ...
"""

from modeling_elmo.pretraining.arguments import parse_arguments
from modeling_elmo.pretraining.run import pretrain
from modeling_elmo.recipes import run_recipe

if __name__ == "__main__":
    run_recipe(lambda: pretrain(parse_arguments()))
