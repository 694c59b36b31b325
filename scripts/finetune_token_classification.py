"""Fine-tunes a tagger of words, a BiLSTM and a CRF above a frozen ELMo.

    # named entities in the columns of CoNLL-2003 (IOB1 or BIO)
    python scripts/finetune_token_classification.py --model_name_or_path elmo-small --output_dir ner \
        --train_file eng.train --validation_file eng.testa --test_file eng.testb --cache_layers ner-layers

    # parts of speech in CoNLL-U
    python scripts/finetune_token_classification.py --model_name_or_path elmo-small --output_dir pos \
        --train_file en_ewt-ud-train.conllu --validation_file en_ewt-ud-dev.conllu --label_column upos

--without_elmo instead of --model_name_or_path trains the same head over embeddings of words and characters.
"""

from modeling_elmo.recipes import run_recipe
from modeling_elmo.tasks.token_classification import main

if __name__ == "__main__":
    run_recipe(main, __doc__)
