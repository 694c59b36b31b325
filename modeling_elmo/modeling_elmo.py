"""ELMo: deep contextualised word representations (Peters et al., 2018) in the API of transformers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_elmo import ElmoConfig
from .layer_combination import COMBINATIONS, ElmoProjection, ElmoScalarMix
from .projected_lstm import ElmoLSTMLayer, ElmoLSTMStack, Packing, pack_mask
from .token_encoder import ElmoTokenEncoder

State = tuple[torch.Tensor, torch.Tensor]

# Rows of a character embedding of bytes: 0 for "no token here", 256 bytes, 5 marks.
BYTE_VOCAB_SIZE = 262

# Ends a message about a model of the wrong class: its own may only look like the package's.
IMPORT_FIRST = " (if it was loaded with trust_remote_code: import modeling_elmo before that)"


@dataclass
class ElmoModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state (`(batch, sequence, hidden_size)`): the combined representation, 0 at masked positions.
        hidden_states (`num_layers + 1` of `(batch, sequence, directions * P)`, with `output_hidden_states`): the token
            vector once per direction, then each layer's forward and backward output.
        representations (`num_representations` of `(batch, sequence, hidden_size)`, where there are several): all
            combinations, the first of which is `last_hidden_state`.
        state (with `use_cache`): hidden `(batch, layers, directions, P)` and cell `(batch, layers, directions, cells)`
            after each row's last token, in the backward direction its first.
    """

    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    representations: tuple[torch.FloatTensor, ...] | None = None
    state: tuple[torch.FloatTensor, torch.FloatTensor] | None = None


class ElmoPreTrainedModel(PreTrainedModel):
    """Initialisation as published, and which parameters train."""

    config_class = ElmoConfig
    config: ElmoConfig
    base_model_prefix = "elmo"
    main_input_name = "character_ids"
    input_modalities = ("text",)
    supports_gradient_checkpointing = True
    _auto_class = "AutoModel"  # saving copies the code; what loads as what stands in the configuration's auto_map
    _no_split_modules = ["ElmoCharacterCNN", "ElmoLSTMLayer"]
    # Losses are means over a batch, and Trainer divides them by its accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: ElmoConfig):
        config.validate_choices()  # which from_pretrained's keywords may have changed
        super().__init__(config)

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, ElmoLSTMLayer):
            # Glorot uniform, the input's and the recurrent weights being one matrix.
            _, width, gates = module.input_weight.shape
            bound = (6 / (2 * width + gates)) ** 0.5
            init.uniform_(module.input_weight, -bound, bound)
            init.uniform_(module.recurrent_weight, -bound, bound)
            init.zeros_(module.bias)
            if module.projection_weight is not None:
                bound = (6 / sum(module.projection_weight.shape[1:])) ** 0.5
                init.uniform_(module.projection_weight, -bound, bound)
        elif isinstance(module, ElmoProjection):
            init.copy_(module.weight, module.averaging_weight())
        elif isinstance(module, ElmoScalarMix):
            init.zeros_(module.weights)
            init.ones_(module.gamma)
        elif hasattr(module, "initial_weight"):
            kind, scale = module.initial_weight
            if kind == "normal":
                init.normal_(module.weight, std=scale)
            else:
                init.uniform_(module.weight, -scale, scale)
            if getattr(module, "bias", None) is not None:
                init.constant_(module.bias, module.initial_bias)
            if getattr(module, "padding_idx", None) is not None and not getattr(
                module.weight, "_is_hf_initialized", False
            ):
                init.zeros_(module.weight[module.padding_idx])
        else:
            super()._init_weights(module)

    # What trains

    def freeze_bilm(self):
        """Keeps the token encoder and the LSTMs as they are: no gradients, no dropout. The rest trains on."""
        self.base_model.freeze_bilm()

    def unfreeze_bilm(self):
        """Lets everything train, also when the model is saved and loaded again."""
        self.base_model.unfreeze_bilm()

    def set_trainable(self):
        """Marks which parameters train; called once a model is built or loaded."""
        if self.config.freeze_bilm and self.base_model is not self:
            self.freeze_bilm()

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        loaded = super().from_pretrained(*args, **kwargs)
        # Loading replaces the parameters, and with them what __init__ said of their training.
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.set_trainable()
        return loaded

    # Embeddings

    def get_input_embeddings(self) -> nn.Embedding:
        """Of words, in models that have these, otherwise of characters."""
        encoder = self.base_model.token_encoder
        if encoder.word_embeddings is not None:
            return encoder.word_embeddings
        return encoder.character_cnn.character_embeddings

    def set_input_embeddings(self, value: nn.Embedding):
        encoder = self.base_model.token_encoder
        if encoder.word_embeddings is not None:
            encoder.word_embeddings = value
        else:
            encoder.character_cnn.character_embeddings = value

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Embedding:
        """Changes nothing: words that are added to the tokenizer are read by their characters.

        Raises:
            ValueError: for a model with a word embedding and more words than it (and the padding token) has.
        """
        has_words = self.base_model.token_encoder.word_embeddings is not None
        if has_words and new_num_tokens not in (None, self.config.vocab_size, self.config.vocab_size + 1):
            raise ValueError(
                f"this model has an embedding for each of its {self.config.vocab_size} words and cannot be resized to "
                f"{new_num_tokens}: train one on the new vocabulary"
            )
        return self.get_input_embeddings()


class ElmoModel(ElmoPreTrainedModel):
    """The biLM and the combination of its layers: words in, one vector a word out.

    A sentence's vectors depend on that sentence (and on `state`, where given) alone: not on the rest of the batch, on
    padding, or on earlier calls.
    """

    # A checkpoint of the language models is one of their vectors too: nothing to warn of.
    _keys_to_ignore_on_load_unexpected = [r"^softmax\."]

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        self.token_encoder = ElmoTokenEncoder(config)
        self.lstm = ElmoLSTMStack(config)
        self.combinations = nn.ModuleList(
            COMBINATIONS[config.representation](config) for _ in range(config.num_representations)
        )
        self.register_buffer("word_table", None, persistent=False)
        self.register_load_state_dict_post_hook(ElmoModel.drop_cached_words)
        self.post_init()

    # What trains

    @property
    def is_bilm_frozen(self) -> bool:
        modules = (self.token_encoder, self.lstm)
        return not any(parameter.requires_grad for module in modules for parameter in module.parameters())

    def freeze_bilm(self):
        self.config.freeze_bilm = True
        self.token_encoder.requires_grad_(False)
        self.lstm.requires_grad_(False)
        self.train(self.training)

    def unfreeze_bilm(self):
        self.config.freeze_bilm = False
        self.requires_grad_(True)
        self.drop_cached_words()
        self.train(self.training)

    def train(self, mode: bool = True):
        super().train(mode)
        if mode and self.is_bilm_frozen:
            self.token_encoder.eval()
            self.lstm.eval()
        return self

    # Vectors of known words, computed once

    @torch.no_grad()
    def cache_words(self, character_ids: torch.Tensor | np.ndarray):
        """Precomputes the token vectors of a vocabulary, and freezes the biLM.

        From then on `input_ids` below the table's length find their vector there and need no characters. The unknown
        word's id never does: its vector comes from its characters. The table moves with the model; it is not saved,
        and goes when the model is unfrozen, cast or loaded into.

        Args:
            character_ids (`(words, characters)`): the row of each word id, `tokenizer.character_table` or its start.
        """
        self.freeze_bilm()
        if self.token_encoder.character_cnn is None:
            return  # its word embedding is such a table
        if isinstance(character_ids, np.ndarray):
            character_ids = character_ids.copy()  # PyTorch knows no arrays that are read-only, as the tokenizer's
        rows = torch.as_tensor(character_ids, device=self.device)
        self._check_characters(rows, 2)
        if self.token_encoder.word_embeddings is not None:
            rows = rows[: self.config.vocab_size]
        ids = torch.arange(rows.shape[0], device=self.device)
        self.word_table = self.token_encoder(rows, ids)

    def drop_cached_words(self, *args):
        """Forgets [`cache_words`]; also the hook that loading weights calls."""
        self.word_table = None

    def _apply(self, fn, recurse=True):
        dtype = self.word_table.dtype if self.word_table is not None else None
        super()._apply(fn, recurse)
        if dtype is not None and self.word_table.dtype != dtype:
            self.drop_cached_words()
        return self

    # Forward

    @can_return_tuple
    def forward(
        self,
        character_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> ElmoModelOutput:
        """Represents each word in its context.

        Args:
            character_ids (`(batch, sequence, max_characters_per_token)`, any integer type):
                Rows of characters; all zeros: no token here.
            attention_mask (`(batch, sequence)`, *optional*):
                1 for tokens, 0 for padding, which may stand anywhere. By default what `character_ids` (or the padding
                id among `input_ids`) say.
            input_ids (`(batch, sequence)`, *optional*):
                Word ids, for models with a word embedding or after [`cache_words`].
            token_type_ids (*optional*): accepted and ignored.
            state (*optional*): of an earlier call, from which each row goes on instead of from zeros.
            use_cache (`bool`, *optional*): whether to return the state.
            output_hidden_states (`bool`, *optional*): whether to return all layers.
        """
        if kwargs.get("inputs_embeds") is not None:
            raise ValueError("inputs_embeds: this model reads characters or word ids only, pass these")
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        hidden_states, mask, last_state = self._bilm_layers(character_ids, attention_mask, input_ids, state)
        boundaries = None
        if self.config.scalar_mix_norm == "batch_without_boundaries":
            boundaries = self.boundary_mask(character_ids, input_ids)
        representations = self.combine(hidden_states, mask, boundaries)
        return ElmoModelOutput(
            last_hidden_state=representations[0],
            hidden_states=hidden_states if output_hidden_states else None,
            representations=representations if len(representations) > 1 else None,
            state=last_state if use_cache else None,
        )

    @torch.compiler.disable(reason="sizes follow the words (distinct ones, steps), each would be compiled anew")
    def _bilm_layers(
        self, character_ids, attention_mask, input_ids, state: State | None
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, State]:
        """All layers `(batch, sequence, directions * P)`, 0 where masked; the mask; the last state."""
        is_frozen = self.is_bilm_frozen
        if not is_frozen:
            self.drop_cached_words()
        mask = self.token_mask(character_ids, attention_mask, input_ids)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen):
            packing = pack_mask(mask, self.config.num_directions)
            vectors = self._token_vectors(character_ids, input_ids, packing.tokens)
            outputs, last_state = self.lstm(
                vectors[packing.sources], packing.batch_sizes, self.initial_state(state, packing.order, vectors.dtype)
            )
            layers = [vectors.repeat(1, self.config.num_directions)]
            layers += [unpack(output, packing) for output in outputs]
            hidden_states = tuple(pad_tokens(layer, packing, mask) for layer in layers)
        return hidden_states, mask, batch_first(last_state, packing.order)

    def combine(
        self, hidden_states: tuple[torch.Tensor, ...], mask: torch.Tensor, boundaries: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The representations alone, from layers computed before.

        Args:
            hidden_states (`num_layers + 1` of `(batch, sequence, directions * P)`): zeros at masked positions.
            mask (`(batch, sequence)`, bool): True for tokens.
            boundaries (`(batch, sequence)`, bool): True for the marks around a sentence; only read where
                `config.scalar_mix_norm` is `"batch_without_boundaries"`.

        Returns:
            `num_representations` of `(batch, sequence, hidden_size)`
        """
        if len(hidden_states) != self.config.num_hidden_layers + 1:
            raise ValueError(
                f"{len(hidden_states)} layers given; this model combines {self.config.num_hidden_layers + 1} "
                "(num_hidden_layers and the token vectors)"
            )
        if hidden_states[0].shape != (*mask.shape, self.config.layer_size):
            raise ValueError(
                f"layers have shape {tuple(hidden_states[0].shape)}; this model and mask need "
                f"{(*mask.shape, self.config.layer_size)} (batch, sequence, directions * P)"
            )
        return tuple(combination(hidden_states, mask, boundaries) for combination in self.combinations)

    def token_mask(self, character_ids, attention_mask, input_ids) -> torch.Tensor:
        """Checks the inputs against each other; True where there is a token: `(batch, sequence)`."""
        reads_characters = self.token_encoder.character_cnn is not None
        if character_ids is None and reads_characters and (input_ids is None or self.word_table is None):
            raise ValueError(
                "this model reads characters: pass character_ids (the tokenizer makes them), or call "
                "cache_words(tokenizer.character_table) once and pass input_ids"
            )
        if input_ids is None and self.token_encoder.word_embeddings is not None:
            raise ValueError("this model has a word embedding: pass input_ids (the tokenizer makes them)")
        shape = None
        if character_ids is not None:
            self._check_characters(character_ids, 3)
            shape = character_ids.shape[:2]
        if input_ids is not None:
            if input_ids.dim() != 2 or input_ids.is_floating_point():
                raise ValueError(
                    f"input_ids must be integers of shape (batch, sequence), not {input_ids.dtype} of shape "
                    f"{tuple(input_ids.shape)}"
                )
            if shape is not None and input_ids.shape != shape:
                raise ValueError(
                    f"input_ids has shape {tuple(input_ids.shape)}, but character_ids says (batch, sequence) = "
                    f"{tuple(shape)}"
                )
            shape = input_ids.shape
        if attention_mask is None:
            if character_ids is not None and reads_characters:
                return character_ids[..., 0] != 0
            pad = self.config.vocab_size if self.config.pad_token_id is None else self.config.pad_token_id
            return input_ids != pad
        if attention_mask.shape != shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}, but the tokens have (batch, sequence) = "
                f"{tuple(shape)}"
            )
        return attention_mask.bool()

    def _check_characters(self, character_ids: torch.Tensor, dims: int):
        length = self.config.max_characters_per_token
        if character_ids.is_floating_point() or character_ids.dim() != dims or character_ids.shape[-1] != length:
            expected = ("batch, sequence" if dims == 3 else "words") + f", {length}"
            raise ValueError(
                f"character_ids must be integers of shape ({expected}), not {character_ids.dtype} of shape "
                f"{tuple(character_ids.shape)}"
            )
        check_range("character_ids", character_ids, self.config.character_vocab_size, "character_vocab_size")

    def _token_vectors(self, character_ids, input_ids, tokens: torch.Tensor) -> torch.Tensor:
        """Context-free vectors of the unmasked tokens: `(tokens, P)`."""
        rows = character_ids.flatten(0, 1)[tokens] if character_ids is not None else None
        ids = input_ids.flatten()[tokens].long() if input_ids is not None else None
        if tokens.numel() == 0:
            return torch.zeros(0, self.config.output_size, dtype=self.dtype, device=tokens.device)
        if self.word_table is not None and ids is not None:
            return self._cached_vectors(rows, ids)
        return self._encode_distinct(rows, ids)

    def _encode_distinct(self, rows: torch.Tensor | None, ids: torch.Tensor | None) -> torch.Tensor:
        """Runs the token encoder once for each distinct word."""
        if self.token_encoder.word_embeddings is not None:
            check_range("input_ids", ids, self.config.vocab_size, "vocab_size")
        return self.token_encoder.encode_distinct(rows, ids)

    def _cached_vectors(self, rows: torch.Tensor | None, ids: torch.Tensor) -> torch.Tensor:
        """Known words from the table, others from their characters."""
        known = (ids >= 0) & (ids < self.word_table.shape[0]) & (ids != self.config.unk_token_id)
        if rows is None and not bool(known.all()):
            unknown = ids[~known].unique().tolist()
            raise ValueError(
                f"input_ids has words without a cached vector (ids {unknown[:5]}): pass character_ids as well"
            )
        vectors = self.word_table[torch.where(known, ids, 0)]
        if rows is not None and not bool(known.all()):
            vectors[~known] = self._encode_distinct(rows[~known], ids[~known])
        return vectors

    def initial_state(self, state: State | None, order: torch.Tensor, dtype: torch.dtype) -> State:
        """The given state (zeros by default) with the batch's rows in `order`, laid out as the LSTMs read it:
        `(layers, directions, batch, width)` each."""
        config = self.config
        shapes = [
            (order.shape[0], config.num_hidden_layers, config.num_directions, width)
            for width in (config.output_size, config.cell_size)
        ]
        if state is None:
            state = tuple(torch.zeros(shape, dtype=dtype, device=order.device) for shape in shapes)
        elif [tuple(part.shape) for part in state] != shapes:
            raise ValueError(
                f"state has shapes {[tuple(part.shape) for part in state]}; this batch needs hidden and cell of "
                f"{shapes} (batch, layers, directions, width)"
            )
        return tuple(part.to(dtype)[order].permute(1, 2, 0, 3) for part in state)

    def boundary_mask(self, character_ids: torch.Tensor | None, input_ids: torch.Tensor | None) -> torch.Tensor:
        """True where a token is a sentence's begin or end mark: `(batch, sequence)`."""
        if input_ids is not None:
            return (input_ids == self.config.bos_token_id) | (input_ids == self.config.eos_token_id)
        if self.config.character_vocab_size != BYTE_VOCAB_SIZE:
            raise ValueError("this model's characters are not bytes: pass input_ids, which tell the boundary marks")
        # Rows of the marks hold one character, which is none of a word's.
        return (character_ids[..., 1] == 257) | (character_ids[..., 1] == 258)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and as it was afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:  # parts may be in evaluation mode while others train
            module.training = training


def check_range(name: str, ids: torch.Tensor, size: int, key: str):
    if ids.numel():
        low, high = (int(bound) for bound in ids.aminmax())
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} has values from {low} to {high}, but config.{key} is {size}: values must be from 0 to "
                f"{size - 1}. Use the tokenizer that was saved with this model"
            )


def unpack(packed: torch.Tensor, packing: Packing) -> torch.Tensor:
    """Packed `(directions, tokens, width)` -> in reading order, directions side by side: `(tokens, D * width)`."""
    return torch.cat([part[slots] for part, slots in zip(packed, packing.slots, strict=True)], dim=-1)


def pad_tokens(vectors: torch.Tensor, packing: Packing, mask: torch.Tensor) -> torch.Tensor:
    """Tokens in reading order `(tokens, width)` -> `(batch, sequence, width)` with zeros at masked positions."""
    padded = vectors.new_zeros(mask.numel(), vectors.shape[-1])
    return padded.index_copy(0, packing.tokens, vectors).unflatten(0, mask.shape)


def batch_first(state: State, order: torch.Tensor) -> State:
    """The inverse of [`ElmoModel.initial_state`]: `(layers, directions, batch, width)` -> `(batch, layers, ...)`."""
    rows = order.argsort()
    return tuple(part[:, :, rows].permute(2, 0, 1, 3).contiguous() for part in state)


if TYPE_CHECKING:
    # What this module names is copied beside a checkpoint: so the code of every head travels with each of them.
    from .modeling_elmo_coreference import ElmoForCoreferenceResolution as ElmoForCoreferenceResolution
    from .modeling_elmo_pretraining import ElmoForPreTraining as ElmoForPreTraining
    from .modeling_elmo_question_answering import ElmoForQuestionAnswering as ElmoForQuestionAnswering
    from .modeling_elmo_semantic_role_labeling import ElmoForSemanticRoleLabeling as ElmoForSemanticRoleLabeling
    from .modeling_elmo_sequence_classification import ElmoForSequenceClassification as ElmoForSequenceClassification
    from .modeling_elmo_token_classification import ElmoForTokenClassification as ElmoForTokenClassification

__all__ = ["ElmoModel", "ElmoPreTrainedModel"]
