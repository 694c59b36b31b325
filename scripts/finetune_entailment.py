"""Fine-tunes a model of textual entailment (premise, hypothesis, label) above a frozen ELMo, in the style of ESIM.

    # SNLI, TSV with a header or JSON lines
    python scripts/finetune_entailment.py --model_name_or_path elmo-small --output_dir snli \
        --train_file snli.tsv --validation_fraction 0.1 --cache_layers snli-layers

    # SICK
    python scripts/finetune_entailment.py --model_name_or_path elmo-small --output_dir sick --file_format tsv \
        --train_file SICK_train.txt --validation_file SICK_trial.txt \
        --text_column sentence_A --text_pair_column sentence_B --label_column entailment_judgment

Options are those of finetune_sequence_classification.py. What is held out shares no premise with the rest.
"""

from dataclasses import dataclass, field

from modeling_elmo.recipes import run_recipe
from modeling_elmo.tasks.sequence_classification import TextArguments, main


@dataclass
class EntailmentArguments(TextArguments):
    text_column: str = "premise"
    text_pair_column: str = "hypothesis"
    ignored_labels: list[str] = field(default_factory=lambda: ["-", "-1"], metadata={"help": "Without a gold label."})


if __name__ == "__main__":
    run_recipe(main, __doc__, EntailmentArguments)
