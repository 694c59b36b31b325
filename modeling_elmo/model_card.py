"""Fills the model card, the README.md of a checkpoint. The template is model_card.md."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from huggingface_hub import ModelCardData

from .configuration_elmo import AUTO_MAP, ElmoConfig
from .modeling_elmo import BYTE_VOCAB_SIZE

TEMPLATE = Path(__file__).with_name("model_card.md")

PIPELINES = {
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
}

USAGE = """\
from transformers import {auto_class}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)
model = {auto_class}.from_pretrained("{name}", trust_remote_code=True)
sentences = [["The", "river", "bank", "."], ["The", "bank", "is", "closed", "."]]
inputs = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
"""

RESULTS = {
    "AutoModel": """\
vectors = model(**inputs).last_hidden_state  # (sentences, words, {size}), begin and end of each sentence included""",
    "AutoModelForPreTraining": """\
outputs = model(**inputs)  # AutoModel gives the words' vectors
{surprisals}  # (sentences, words), in nats""",
}


def write_model_card(folder: str | Path, config: ElmoConfig, **fields) -> Path:
    """Writes README.md into a checkpoint's folder; `fields` are those of [`fill_model_card`]."""
    path = Path(folder) / "README.md"
    path.write_text(fill_model_card(config, **fields), encoding="utf-8")
    return path


def fill_model_card(
    config: ElmoConfig,
    *,
    name: str,
    summary: str,
    origin: str,
    evaluation: str = "Not evaluated since.",
    word_splitting: str = "treebank",
    usage: str | None = None,
    language: Sequence[str] = (),
    datasets: Sequence[str] = (),
    base_model: str | None = None,
) -> str:
    """The text of a model card.

    Args:
        config: of the saved model; `config.architectures` says of which class it is.
        name: under which it is loaded, a folder's or a repository's.
        summary: one or two sentences, what the model is.
        origin: Markdown, how the weights came to be: text, settings, effort, or the files they were converted from.
        evaluation: Markdown, what was measured, and on what.
        word_splitting: of the tokenizer.
        usage: Python code; by default that of the class's Auto class.
        language: ISO 639 codes.
        datasets, base_model: names on the Hub of what it was trained on, and fine-tuned from.
    """
    auto_class = auto_class_of(config)
    metadata = ModelCardData(
        language=list(language) or None,
        library_name="transformers",
        tags=["elmo"],
        datasets=list(datasets) or None,
        base_model=base_model,
        pipeline_tag=PIPELINES.get(auto_class, "feature-extraction"),
    )
    if usage is None:
        directions = ("forward", "backward") if config.bidirectional else ("forward",)
        result = RESULTS.get(auto_class, "logits = model(**inputs).logits").format(
            size=config.hidden_size,
            surprisals=", ".join(f"outputs.{direction}_surprisal" for direction in directions),
        )
        usage = USAGE.format(auto_class=auto_class, name=name) + result
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        metadata=metadata.to_yaml(),
        name=name,
        summary=summary,
        context="the whole sentence" if config.bidirectional else "the words before it",
        usage=usage,
        word_splitting=word_splitting,
        architecture=describe_architecture(config),
        origin=origin,
        evaluation=evaluation,
    )


def auto_class_of(config: ElmoConfig) -> str:
    """The Auto class that loads the architecture; AutoModel where there is no other."""
    classes = {entry.rpartition(".")[2]: auto_class for auto_class, entry in AUTO_MAP.items()}
    return next((classes[name] for name in config.architectures or () if name in classes), "AutoModel")


def describe_architecture(config: ElmoConfig) -> str:
    """The network's sizes as a Markdown table."""
    rows = []
    if config.character_embedding_size:
        filters = ", ".join(f"{number} x {width}" for width, number in config.filters)
        unit = "bytes" if config.character_vocab_size == BYTE_VOCAB_SIZE else "characters"
        rows.append(("Characters", f"{config.character_vocab_size} of {config.character_embedding_size} dimensions"))
        rows.append(("Convolutions (number x width)", f"{filters}; {config.hidden_act}"))
        rows.append(("Highway layers", config.num_highway_layers))
        rows.append(("Longest word", f"{config.max_characters_per_token - 2} {unit}; the rest is cut off"))
    if config.word_embedding_size:
        rows.append(("Word embedding", f"{config.vocab_size:,} of {config.word_embedding_size} dimensions"))
    directions = "forward and backward" if config.bidirectional else "forward"
    rows.append(("LSTM layers", f"{config.num_hidden_layers}, {directions}"))
    projected = "" if config.projection_size is None else f", projected to {config.projection_size}"
    rows.append(("Memory cells", f"{config.cell_size:,} a layer and direction{projected}"))
    rows.append(("Residual connections", "yes" if config.use_residual else "no"))
    rows.append(("Vocabulary of the language model", f"{config.vocab_size:,} words"))
    rows.append(("A word's vector", f"{config.hidden_size} dimensions ({config.representation})"))
    return "\n".join(["| | |", "| --- | --- |", *(f"| {label} | {value} |" for label, value in rows)])
