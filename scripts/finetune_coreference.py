"""Fine-tunes coreference resolution above a frozen ELMo: spans are scored, pruned and ranked as antecedents.

    # OntoNotes
    python scripts/finetune_coreference.py --model_name_or_path elmo-small --output_dir coref --genres \
        --train_file train.v4_gold_conll --validation_file dev.v4_gold_conll --cache_layers coref-layers \
        --num_train_epochs 40

    # LitBank, where mentions that nothing else refers to are annotated; tested for bias on GAP and WinoBias
    python scripts/finetune_coreference.py --model_name_or_path elmo-small --output_dir coref --singletons \
        --train_file litbank.train.gold_conll --validation_file litbank.dev.gold_conll \
        --gap_file gap-validation.tsv --winobias_files dev_type1_pro.conll dev_type1_anti.conll

Files have the columns of CoNLL-2012, plain, .gz or .zst, and so has predictions_<split>.conll; --dataset_name takes a
data set of the Hub in the form of conll2012_ontonotesv5. A batch is one document; of long ones each epoch trains on
--max_training_sentences neighbouring sentences, and evaluation is on whole documents. --without_elmo instead of
--model_name_or_path trains the same head over embeddings of words and characters.
"""

from modeling_elmo.recipes import run_recipe
from modeling_elmo.tasks.coreference import main

if __name__ == "__main__":
    run_recipe(main, __doc__)
