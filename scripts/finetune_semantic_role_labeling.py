"""Fine-tunes a labeller of semantic roles above a frozen ELMo: a highway BiLSTM and a CRF over BIO labels.

    python scripts/finetune_semantic_role_labeling.py --model_name_or_path elmo-small --output_dir srl \
        --train_file train.gold_conll --validation_file dev.gold_conll --cache_layers srl-layers \
        --head_num_layers 4 --head_dropout 0.1

Files have the columns of CoNLL-2012, plain, .gz or .zst, and so has predictions_<split>.conll; --dataset_name takes a
data set of the Hub in the form of conll2012_ontonotesv5. As in the shared tasks the predicates are given: the model
finds their arguments, not the predicates. --train_fraction 0.01 trains on one sentence in a hundred. --without_elmo
instead of --model_name_or_path trains the same head over embeddings of words and characters.
"""

from modeling_elmo.recipes import run_recipe
from modeling_elmo.tasks.semantic_role_labeling import main

if __name__ == "__main__":
    run_recipe(main, __doc__)
