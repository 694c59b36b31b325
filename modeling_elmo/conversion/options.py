"""options.json of the published biLMs <-> the fields of ElmoConfig."""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from ..configuration_elmo import ElmoConfig
from ..text_files import FormatError, read_object
from .errors import ConversionError

REQUIRED = object()
MOST_LAYERS = 1000
MOST_CHARACTERS = 10_000


class Options:
    """A JSON object read field by field; an error names the file, the field and what is wrong with it."""

    def __init__(self, path: Path, values: dict[str, Any]):
        self.path, self.values = path, values

    @classmethod
    def read(cls, path: Path) -> "Options":
        try:
            return cls(path, read_object(path))
        except FormatError as error:
            raise ConversionError(str(error)) from error

    def __contains__(self, field: str) -> bool:
        return self.get(field, object, None) is not None

    def get(self, field: str, kind: type | tuple[type, ...], default: Any = REQUIRED) -> Any:
        """The value of `"section.name"`; `default` where it is absent or null."""
        value: Any = self.values
        for name in field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            if default is REQUIRED:
                raise ConversionError(f"{self.path} lacks {field}")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
            raise ConversionError(f"{self.path}: {field} is {value!r}, which is of the wrong type")
        return value

    def max_characters(self, field: str, default: Any = REQUIRED) -> int:
        """The length of a character row."""
        length = self.get(field, int, default)
        if not 3 <= length <= MOST_CHARACTERS:  # each row takes that much memory
            raise ConversionError(f"{self.path}: {field} is {length}; it must be from 3 to {MOST_CHARACTERS}")
        return length

    def config(self, **fields) -> ElmoConfig:
        """An ElmoConfig of these fields, of which this file is the source."""
        for key in ("num_hidden_layers", "num_highway_layers"):
            if fields.get(key, 0) > MOST_LAYERS:  # listing the arrays of a hostile number would take for ever
                raise ConversionError(f"{self.path} asks for {fields[key]} layers ({key}), more than {MOST_LAYERS}")
        try:
            return ElmoConfig(**fields)
        except (StrictDataclassError, ValueError, TypeError) as error:
            raise ConversionError(f"{self.path} describes no possible model: {error.__cause__ or error}") from error


def bilm_fields(options: Options) -> dict[str, Any]:
    """The fields of ElmoConfig that an options.json determines. Keys that it does not know are ignored."""
    number = (int, float)
    cells, width = options.get("lstm.dim", int), options.get("lstm.projection_dim", int)
    fields = {
        "num_hidden_layers": options.get("lstm.n_layers", int),
        "cell_size": cells,
        "projection_size": None if width == cells else width,
        "cell_clip": options.get("lstm.cell_clip", number, None),
        "projection_clip": options.get("lstm.proj_clip", number, None),
        "use_residual": options.get("lstm.use_skip_connections", bool, False),
        "bidirectional": options.get("bidirectional", bool, True),
        "dropout": options.get("dropout", number, 0.1),
        "num_negative_samples": options.get("n_negative_samples_batch", int, 8192),
    }
    if "char_cnn" not in options:
        tied = options.get("share_embedding_softmax", bool, False)
        return {**fields, "character_embedding_size": 0, "word_embedding_size": width, "tie_word_embeddings": tied}
    if options.get("share_embedding_softmax", bool, False):
        raise ConversionError(f"{options.path}: share_embedding_softmax needs word input, but there is a char_cnn")
    return {
        **fields,
        "character_embedding_size": options.get("char_cnn.embedding.dim", int),
        "filters": options.get("char_cnn.filters", list),
        "hidden_act": options.get("char_cnn.activation", str),
        "num_highway_layers": options.get("char_cnn.n_highway", int, 0),
        "max_characters_per_token": options.max_characters("char_cnn.max_characters_per_token", 50),
    }


def bilm_options(config: ElmoConfig) -> dict[str, Any]:
    """The options.json of a configuration: the one it was converted from, where that still holds."""
    original = config.published_options or {}
    if original:
        fields = bilm_fields(Options(Path("options.json"), original))
        if all(getattr(config, name) == value for name, value in fields.items()):
            return original
    lstm = {
        "use_skip_connections": config.use_residual,
        "projection_dim": config.output_size,
        "cell_clip": config.cell_clip,
        "proj_clip": config.projection_clip,
        "dim": config.cell_size,
        "n_layers": config.num_hidden_layers,
    }
    options: dict[str, Any] = {**original, "lstm": {key: value for key, value in lstm.items() if value is not None}}
    if config.character_embedding_size:
        options["char_cnn"] = {
            "activation": config.hidden_act,
            "embedding": {"dim": config.character_embedding_size},
            "filters": [list(entry) for entry in config.filters],
            "n_highway": config.num_highway_layers,
            "n_characters": config.character_vocab_size,
            "max_characters_per_token": config.max_characters_per_token,
        }
    elif config.tie_word_embeddings:
        options["share_embedding_softmax"] = True
    options["bidirectional"] = config.bidirectional
    options["dropout"] = config.dropout
    options["n_tokens_vocab"] = config.vocab_size
    options["n_negative_samples_batch"] = config.num_negative_samples
    return options
