"""Configuration of ELMo models."""

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig

# Every class that a checkpoint can be loaded as, whichever of them was saved (see `ElmoConfig.auto_map`).
AUTO_MAP = {
    "AutoConfig": "configuration_elmo.ElmoConfig",
    "AutoModel": "modeling_elmo.ElmoModel",
    "AutoModelForPreTraining": "modeling_elmo_pretraining.ElmoForPreTraining",
    "AutoModelForQuestionAnswering": "modeling_elmo_question_answering.ElmoForQuestionAnswering",
    "AutoModelForSequenceClassification": "modeling_elmo_sequence_classification.ElmoForSequenceClassification",
    "AutoModelForTokenClassification": "modeling_elmo_token_classification.ElmoForTokenClassification",
}

REPRESENTATIONS = ("projection", "scalar_mix")
SCALAR_MIX_NORMS = (None, "sentence", "batch", "batch_without_boundaries")
ACTIVATIONS = ("relu", "tanh")
LABEL_SCHEMES = ("BIO", "BIOES", "none")


@strict
class ElmoConfig(PreTrainedConfig):
    r"""
    Configuration of an [`ElmoModel`]. The defaults are the original model of Peters et al. (2018, section 3.4).

    Args:
        vocab_size (`int`, defaults to 793471):
            Words known to the language model: rows of the softmax and, where there is one, of the word embedding. The
            padding token of the tokenizer has the next id and no row.
        character_vocab_size (`int`, defaults to 262):
            Rows of the character embedding. Row 0 means "no token here"; 256 bytes and 5 marks follow.
        max_characters_per_token (`int`, defaults to 50):
            Length of a character row, marks of the word's beginning and end included.
        character_embedding_size (`int`, defaults to 16):
            Width of a character's embedding. 0: the model reads words only.
        filters (`list[list[int]]`):
            `[width, number]` of the convolution filters of each width.
        hidden_act (`str`, defaults to `"relu"`):
            Activation after the convolutions, `"relu"` or `"tanh"`.
        num_highway_layers (`int`, defaults to 2):
            Highway layers above the convolutions.
        word_embedding_size (`int`, defaults to 0):
            Width of a word embedding that stands before the character features (or alone). 0: none.
        token_projection (`bool`, *optional*):
            Whether token features are projected to the size of the LSTM's input. By default only where sizes differ.
        num_hidden_layers (`int`, defaults to 2):
            LSTM layers in each direction. 0: token vectors without context, the baseline "without ELMo".
        cell_size (`int`, defaults to 4096):
            Memory cells in a layer and direction.
        projection_size (`int`, *optional*, defaults to 512):
            Width to which the LSTM's output is projected. `None`: no projection, the width is `cell_size`.
        cell_clip (`float`, *optional*, defaults to 3.0):
            Bound of the memory cells' absolute value. `None`: no bound.
        projection_clip (`float`, *optional*, defaults to 3.0):
            Bound of the projected output's absolute value. `None`: no bound.
        forget_bias (`float`, defaults to 1.0):
            Added to the forget gate's bias at run time, as the published weights expect.
        use_residual (`bool`, defaults to `True`):
            Whether the input of every layer but the first is added to its output.
        bidirectional (`bool`, defaults to `True`):
            Whether there is a backward language model beside the forward one.
        dropout (`float`, defaults to 0.1):
            Dropout on each LSTM layer's input and on the last output, while the language models are trained.
        input_dropout (`float`, *optional*):
            The same on the first LSTM layer's input, the token vectors. By default `dropout`.
        representation (`str`, defaults to `"projection"`):
            How the layers become one vector: `"projection"`, all outputs concatenated and multiplied by one matrix, or
            `"scalar_mix"`, the weighted average of the paper's equation 1.
        representation_size (`int`, defaults to 512):
            Width of the projected representation.
        num_representations (`int`, defaults to 1):
            Combinations of the same layers, each with weights of its own (the paper's models use one at the input and
            one at the output).
        scalar_mix_norm (`str`, *optional*):
            Layer normalisation before a scalar mix: `None`, `"sentence"`, or, for results of old systems only,
            `"batch"` (statistics over the whole batch, AllenNLP) and `"batch_without_boundaries"` (bilm-tf).
        freeze_bilm (`bool`, defaults to `True`):
            Whether the task heads keep the language models as pretrained and train only what lies above them.
        head_hidden_size (`int`, defaults to 256):
            Cells in each direction of a task head's own LSTMs, and width of its hidden layers.
        head_num_layers (`int`, defaults to 1):
            LSTM layers with which a task head reads the words.
        context_free_size (`int`, defaults to 0):
            Width of vectors that train with a task's head and stand beside ELMo's, `[x_k; ELMo_k]` in the paper's
            section 3.3: one half embeds the word, the other half are convolutions over its characters. 0: none.
        head_dropout (`float`, defaults to 0.3):
            Dropout in a task head: on the words' vectors, the same features throughout a text, and on hidden layers.
            The hidden layers of coreference resolution, and in semantic role labelling the inputs of all LSTM layers,
            get 0.4 of it.
        predicate_embedding_size (`int`, defaults to 100):
            Width of the mark of the predicate in semantic role labelling.
        max_span_width (`int`, defaults to 30):
            Words of the longest mention that coreference resolution considers.
        top_span_ratio (`float`, defaults to 0.4):
            Mention candidates kept, for each word of the document.
        max_antecedents (`int`, defaults to 50):
            Candidates for a mention's antecedent that the fine scores look at.
        coreference_depth (`int`, defaults to 2):
            Rounds of scoring; before each but the first, mentions are refined by their antecedents.
        coreference_feature_size (`int`, defaults to 20):
            Width of the vectors of span width, distance, speaker and genre.
        coreference_genres (`list[str]`, defaults to none):
            Genres told apart in coreference resolution, the commonest first. Without any the genre is not looked at.
        predict_singletons (`bool`, defaults to `False`):
            Whether coreference resolution also learns and gives mentions that nothing else refers to.
        null_threshold (`float`, *optional*):
            Question answering gives no answer where its score is above the best answer's by more than this. By default
            it always answers.
        label_scheme (`str`, *optional*):
            How token classification labels mark entities, which forbids transitions such as `O` to `I-PER`: `"BIO"`,
            `"BIOES"` or `"none"`. By default what the names in `id2label` look like.
        num_negative_samples (`int`, defaults to 8192):
            Words sampled for the softmax in pretraining. 0: always the exact softmax.
        adaptive_softmax_cutoffs (`list[int]`, *optional*):
            Makes the softmax an adaptive one (Grave et al., 2017), never sampled: rising word ids at which its
            clusters begin.
        tie_word_embeddings (`bool`, defaults to `False`):
            Whether a word-only model shares its embedding with the softmax.
        published_options (`dict`, *optional*):
            The options.json that a converted model came with, kept for its export.
    """

    model_type = "elmo"
    _auto_class = "AutoConfig"  # saving copies the code
    attribute_map = {"num_layers": "num_hidden_layers"}
    keys_to_ignore_at_inference = ["state", "hidden_states", "representations"]

    vocab_size: int = 793471
    character_vocab_size: int = 262
    max_characters_per_token: int = 50
    character_embedding_size: int = 16
    filters: list[list[int]] | tuple[tuple[int, int], ...] = (
        (1, 32),
        (2, 32),
        (3, 64),
        (4, 128),
        (5, 256),
        (6, 512),
        (7, 1024),
    )
    hidden_act: str = "relu"
    num_highway_layers: int = 2
    word_embedding_size: int = 0
    token_projection: bool | None = None

    num_hidden_layers: int = 2
    cell_size: int = 4096
    projection_size: int | None = 512
    cell_clip: float | int | None = 3.0
    projection_clip: float | int | None = 3.0
    forget_bias: float | int = 1.0
    use_residual: bool = True
    bidirectional: bool = True
    dropout: float | int = 0.1
    input_dropout: float | int | None = None

    representation: str = "projection"
    representation_size: int = 512
    num_representations: int = 1
    scalar_mix_norm: str | None = None
    freeze_bilm: bool = True

    context_free_size: int = 0
    head_hidden_size: int = 256
    head_num_layers: int = 1
    head_dropout: float | int = 0.3
    label_scheme: str | None = None
    predicate_embedding_size: int = 100
    max_span_width: int = 30
    top_span_ratio: float | int = 0.4
    max_antecedents: int = 50
    coreference_depth: int = 2
    coreference_feature_size: int = 20
    coreference_genres: list[str] | tuple[str, ...] = ()
    predict_singletons: bool = False
    null_threshold: float | int | None = None

    num_negative_samples: int = 8192
    adaptive_softmax_cutoffs: list[int] | tuple[int, ...] | None = None
    bos_token_id: int | None = 0
    eos_token_id: int | None = 1
    unk_token_id: int | None = 2
    pad_token_id: int | None = None
    tie_word_embeddings: bool = False
    published_options: dict | None = None

    def __post_init__(self, **kwargs):
        if "hidden_size" in kwargs:
            raise ValueError(
                "ElmoConfig.hidden_size follows from representation_size (of a scalar mix: projection_size): set that"
            )
        kwargs["auto_map"] = dict(AUTO_MAP)  # constant: the code of every class lies beside every checkpoint
        super().__post_init__(**kwargs)

    def to_dict(self) -> dict:
        # Saving a model puts that model's class into `self.auto_map`, maybe in the place of another.
        return {**super().to_dict(), "auto_map": dict(AUTO_MAP)}

    def validate_choices(self):
        for key, choices in (
            ("representation", REPRESENTATIONS),
            ("scalar_mix_norm", SCALAR_MIX_NORMS),
            ("hidden_act", ACTIVATIONS),
            ("label_scheme", (None, *LABEL_SCHEMES)),
        ):
            if getattr(self, key) not in choices:
                raise ValueError(f"ElmoConfig.{key} is {getattr(self, key)!r}; it must be one of {choices}")

    def validate_sizes(self):
        for key in (
            "vocab_size",
            "character_vocab_size",
            "max_characters_per_token",
            "cell_size",
            "representation_size",
            "num_representations",
            "head_hidden_size",
            "head_num_layers",
            "predicate_embedding_size",
            "max_span_width",
            "max_antecedents",
            "coreference_depth",
            "coreference_feature_size",
        ):
            if getattr(self, key) < 1:
                raise ValueError(f"ElmoConfig.{key} is {getattr(self, key)}; it must be at least 1")
        for key in ("cell_clip", "projection_clip", "projection_size"):
            if getattr(self, key) is not None and not getattr(self, key) > 0:
                raise ValueError(f"ElmoConfig.{key} is {getattr(self, key)}; it must be positive, or None for none")
        for key in (
            "num_hidden_layers",
            "character_embedding_size",
            "word_embedding_size",
            "num_highway_layers",
            "num_negative_samples",
        ):
            if getattr(self, key) < 0:
                raise ValueError(f"ElmoConfig.{key} is {getattr(self, key)}; it must not be negative")
        if self.context_free_size < 0 or self.context_free_size % 2:
            raise ValueError(f"ElmoConfig.context_free_size is {self.context_free_size}; it must be even, or 0")
        for key in ("dropout", "input_dropout", "head_dropout"):
            if not 0 <= (getattr(self, key) or 0) < 1:
                raise ValueError(f"ElmoConfig.{key} is {getattr(self, key)}; it must be in [0, 1)")

    def validate_token_ids(self):
        # The padding token stands right behind the words of the softmax, where other models would have no token.
        if self.pad_token_id != self.vocab_size:
            super().validate_token_ids()

    def validate_softmax(self):
        cutoffs = self.adaptive_softmax_cutoffs
        if cutoffs is None:
            return
        if not cutoffs or any(
            low >= high for low, high in zip([0, *cutoffs], [*cutoffs, self.vocab_size], strict=True)
        ):
            raise ValueError(
                f"ElmoConfig.adaptive_softmax_cutoffs is {list(cutoffs)}; it must be rising word ids between 0 and "
                f"vocab_size ({self.vocab_size})"
            )
        if self.output_size < 4 ** len(cutoffs):
            raise ValueError(
                f"ElmoConfig.adaptive_softmax_cutoffs has {len(cutoffs)} clusters, each 4 times narrower than the one "
                f"before: too many for vectors of {self.output_size}"
            )
        if self.tie_word_embeddings:
            raise ValueError("ElmoConfig.tie_word_embeddings does not go with adaptive_softmax_cutoffs")

    def validate_token_input(self):
        if not self.character_embedding_size and not self.word_embedding_size:
            raise ValueError(
                "ElmoConfig.character_embedding_size and word_embedding_size are both 0: the model would read nothing"
            )
        if self.character_embedding_size:
            if not self.filters:
                raise ValueError("ElmoConfig.filters is empty; a model that reads characters needs filters")
            for entry in self.filters:
                if len(entry) != 2 or not 1 <= entry[0] <= self.max_characters_per_token or entry[1] < 1:
                    raise ValueError(
                        f"ElmoConfig.filters has {list(entry)}; an entry is [width, number] with a width of 1 to "
                        f"max_characters_per_token ({self.max_characters_per_token})"
                    )
        if self.token_projection is False and self.token_feature_size != self.output_size:
            raise ValueError(
                f"ElmoConfig.token_projection is False, but the token features are {self.token_feature_size} wide and "
                f"the LSTM reads {self.output_size}"
            )
        if self.tie_word_embeddings and (
            self.character_embedding_size or self.word_embedding_size != self.output_size or self.has_token_projection
        ):
            raise ValueError(
                "ElmoConfig.tie_word_embeddings needs a word-only model whose word_embedding_size is the LSTM's width"
            )

    @property
    def num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Width P of a layer's output in one direction, and of a token's vector."""
        return self.cell_size if self.projection_size is None else self.projection_size

    @property
    def character_feature_size(self) -> int:
        """Width F of the convolutions' output, 0 for a word-only model."""
        return sum(number for _, number in self.filters) if self.character_embedding_size else 0

    @property
    def token_feature_size(self) -> int:
        return self.word_embedding_size + self.character_feature_size

    @property
    def has_token_projection(self) -> bool:
        if self.token_projection is None:
            return self.token_feature_size != self.output_size
        return self.token_projection

    @property
    def layer_size(self) -> int:
        """Width of each tensor in `hidden_states`: all directions side by side."""
        return self.num_directions * self.output_size

    @property
    def samples_softmax(self) -> bool:
        """Whether the softmax is sampled in training."""
        return self.adaptive_softmax_cutoffs is None and 0 < self.num_negative_samples < self.vocab_size

    @property
    def hidden_size(self) -> int:
        """Width of the combined representation, `last_hidden_state`."""
        return self.representation_size if self.representation == "projection" else self.layer_size

    @property
    def word_vector_size(self) -> int:
        """Width of the vectors that a task's head reads."""
        return self.hidden_size + self.context_free_size

    @property
    def encoded_size(self) -> int:
        """Width of the words in context: the output of a head's BiLSTM, and all representations but the first."""
        return 2 * self.head_hidden_size + (self.num_representations - 1) * self.hidden_size


def word_fields(tokenizer) -> dict[str, int | None]:
    """The fields of ElmoConfig that the tokenizer determines."""
    # A padding token after the last row is what the configuration takes for granted.
    pad = tokenizer.pad_token_id
    return {
        "vocab_size": tokenizer.vocab_size,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "unk_token_id": tokenizer.unk_token_id,
        "pad_token_id": pad if pad < tokenizer.vocab_size else None,
    }


def config_of_options(**options) -> ElmoConfig:
    """The configuration that somebody's options describe.

    Raises:
        ValueError: naming the option whose value a configuration may not have, or two that contradict each other.
    """
    try:
        return ElmoConfig(**options)
    except StrictDataclassError as error:
        raise ValueError(str(error.__cause__ or error)) from error


__all__ = ["ElmoConfig"]
