"""Fine-tunes a model that finds the answer to a question in a text: BiDAF with self-attention above a frozen ELMo.

    # SQuAD 1.1
    python scripts/finetune_question_answering.py --model_name_or_path elmo-small --output_dir squad \
        --train_file train-v1.1.json --validation_file dev-v1.1.json --cache_layers squad-layers

    # SQuAD 2.0, where some questions have no answer
    python scripts/finetune_question_answering.py --model_name_or_path elmo-small --output_dir squad2 --version_2 \
        --train_file train-v2.0.json --validation_fraction 0.1

    # from the Hub
    python scripts/finetune_question_answering.py --model_name_or_path elmo-small --output_dir squad \
        --dataset_name rajpurkar/squad

Files are SQuAD's JSON, plain, .gz or .zst. Texts longer than --max_length words are read in windows, which overlap by
--stride words. predictions_<split>.json is what SQuAD's own scorer reads. --without_elmo instead of
--model_name_or_path trains the same head over embeddings of words and characters.
"""

from modeling_elmo.recipes import run_recipe
from modeling_elmo.tasks.question_answering import main

if __name__ == "__main__":
    run_recipe(main, __doc__)
