"""Fine-tunes a classifier of texts or pairs of texts above a frozen ELMo.

    # Stanford Sentiment Treebank, five classes, all phrases for training
    python scripts/finetune_sequence_classification.py --model_name_or_path elmo-small --file_format trees \
        --train_file train.txt --validation_file dev.txt --output_dir sst5 --cache_layers sst5-layers

    # texts and labels in columns (TSV with a header, or JSON lines), from files or from the Hub
    python scripts/finetune_sequence_classification.py --model_name_or_path elmo-small --output_dir mine \
        --train_file train.tsv --validation_file dev.tsv --text_column text --label_column label

    # relatedness of pairs of sentences (SICK)
    python scripts/finetune_sequence_classification.py --model_name_or_path elmo-small --output_dir sick-relatedness \
        --train_file SICK_train.txt --validation_file SICK_trial.txt --file_format tsv --regression \
        --text_column sentence_A --text_pair_column sentence_B --label_column relatedness_score

--without_elmo instead of --model_name_or_path trains the same head over embeddings of words and characters.
A linear model over a bag of words is printed beside the result.
"""

from modeling_elmo.recipes import run_recipe
from modeling_elmo.tasks.sequence_classification import main

if __name__ == "__main__":
    run_recipe(main, __doc__)
