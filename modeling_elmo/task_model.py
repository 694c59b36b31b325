"""What all task heads share: the words' vectors, from characters or from layers computed before."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import initialization as init

from .configuration_elmo import ElmoConfig
from .crf import ElmoCRF, label_constraints
from .modeling_elmo import ElmoModel, ElmoPreTrainedModel
from .task_layers import ElmoStandardization, ElmoVariationalDropout, gather_words, left_aligned
from .token_encoder import ElmoTokenEncoder

# Strength of the embeddings beside ELMo: they start with a standard deviation of about 0.4, the standardised biLM
# vectors have 1. Weaker, names are learned late; as strong, their noise hides what the biLM knows (docs/results.md).
CONTEXT_FREE_SCALE = 4.0


class ElmoTaskModel(ElmoPreTrainedModel):
    """Base of the task heads: `self.elmo`, frozen by default (`config.freeze_bilm`), and what is built on it.

    A subclass ends its `__init__` with `self.post_init()` and `self.set_trainable()`; what it reads the words with is
    its `self.encoder`.
    """

    _keep_in_fp32_modules_strict = ["standardizations"]  # as they are made

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        self.elmo = ElmoModel(config)
        self.standardizations = nn.ModuleList(
            ElmoStandardization(config.hidden_size) for _ in range(config.num_representations)
        )
        self.context_free = ElmoTokenEncoder(context_free_encoder_config(config)) if config.context_free_size else None
        self.word_dropout = ElmoVariationalDropout(config.head_dropout)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, ElmoCRF):
            for parameter in (module.transitions, module.start, module.end):
                init.zeros_(parameter)
            buffers = (module.may_follow, module.may_start, module.may_end)
            for buffer, value in zip(buffers, label_constraints(module.labels, module.scheme), strict=True):
                init.copy_(buffer, value)

    def represent(
        self,
        character_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        layers: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, tuple[torch.Tensor, ...] | None]:
        """Represents the words of each text alone: the texts of a row are told apart by `token_type_ids`.

        Args:
            character_ids, attention_mask, input_ids, token_type_ids: as the tokenizer makes them.
            layers (`(batch, sequence, num_layers + 1, directions * P)`, *optional*): the biLM's layers, computed
                before; the biLM is not run then. Needs `input_ids` (to tell the boundary marks from words) and
                `attention_mask` or a row of zeros at padded positions.
            output_hidden_states (*optional*): whether the layers are given back too; by default as the configuration
                says.

        Returns:
            `num_representations` of `(batch, sequence, hidden_size)`, standardised over the training data's words, and
            0 elsewhere, the first with the vectors without context beside it, `(batch, sequence, word_vector_size)`;
            the mask `(batch, sequence)` of words, without padding and boundary marks; `num_layers + 1` layers of
            `(batch, sequence, directions * P)` as the biLM gives them, or None.
        """
        if layers is None:
            mask = self.elmo.token_mask(character_ids, attention_mask, input_ids)
        elif input_ids is None:
            raise ValueError("with layers pass input_ids as well: they tell the boundary marks from words")
        elif layers.shape[:2] != input_ids.shape or layers.dim() != 4:
            raise ValueError(
                f"layers has shape {tuple(layers.shape)}; with input_ids of {tuple(input_ids.shape)} it must be "
                "(batch, sequence, num_layers + 1, directions * P)"
            )
        else:
            mask = layers[..., 0, :].any(-1) if attention_mask is None else attention_mask.bool()
        boundaries = self.elmo.boundary_mask(character_ids, input_ids) & mask
        texts = [mask]
        if token_type_ids is not None:
            kinds = range(int(token_type_ids.max()) + 1) if token_type_ids.numel() else range(1)
            texts = [mask & (token_type_ids == kind) for kind in kinds]
        # One row for each text of each row, in the same positions: the tokens of other texts are masked, so that the
        # sum over texts puts everything back.
        count = len(texts)
        text_mask = torch.cat(texts)
        if layers is None:
            outputs = self.elmo(
                None if character_ids is None else character_ids.repeat(count, 1, 1),
                text_mask,
                None if input_ids is None else input_ids.repeat(count, 1),
                output_hidden_states=True,
                return_dict=True,
            )
            hidden_states = outputs.hidden_states
            representations = outputs.representations or (outputs.last_hidden_state,)
        else:
            layers = layers.to(self.dtype).repeat(count, 1, 1, 1) * text_mask[..., None, None]
            hidden_states = layers.unbind(2)
            representations = self.elmo.combine(hidden_states, text_mask, boundaries.repeat(count, 1))

        def merged(vectors):
            return vectors.unflatten(0, (count, -1)).sum(0) if count > 1 else vectors

        words = mask & ~boundaries
        vectors = [
            standardize(merged(part), words)
            for standardize, part in zip(self.standardizations, representations, strict=True)
        ]
        if self.context_free is not None:
            vectors[0] = torch.cat([vectors[0], self._context_free_vectors(character_ids, input_ids, words)], dim=-1)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return tuple(vectors), words, tuple(map(merged, hidden_states)) if output_hidden_states else None

    def read(
        self, representations: Sequence[torch.Tensor], mask: torch.Tensor, *features: torch.Tensor
    ) -> torch.Tensor:
        """The words in context: the output of `self.encoder` over the first representation and any `features`, which
        stand beside it; and the other representations.

        `num_representations` of `(batch, sequence, size)`, `(batch, sequence)`, `(batch, sequence, size)` each ->
        `(batch, sequence, encoded_size)`
        """
        first, *others = map(self.word_dropout, representations)
        if features:
            first = torch.cat([first, *features], dim=-1)
        return torch.cat([self.encoder(first, mask), *others], dim=-1)

    def read_left_aligned(
        self, representations: Sequence[torch.Tensor], words: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A text's `words`, a mask `(batch, sequence)`, moved to the left and read: `(batch, n, encoded_size)`; their
        mask and former positions `(batch, n)`."""
        index, mask = left_aligned(words)
        return self.read([gather_words(vectors, index, mask) for vectors in representations], mask), mask, index

    def _context_free_vectors(
        self, character_ids: torch.Tensor | None, input_ids: torch.Tensor | None, words: torch.Tensor
    ) -> torch.Tensor:
        """`(batch, sequence, context_free_size)`, 0 but for `words`."""
        if character_ids is None or input_ids is None:
            raise ValueError("a head with context_free_size reads character_ids and input_ids: pass both")
        places = words.flatten().nonzero()[:, 0]
        vectors = torch.zeros(words.numel(), self.config.context_free_size, dtype=self.dtype, device=words.device)
        if places.numel() == 0:
            return vectors.unflatten(0, words.shape)
        ids = input_ids.flatten()[places].long()
        ids = ids.masked_fill(ids >= self.config.vocab_size, self.config.unk_token_id or 0)
        encoded = self.context_free.encode_distinct(character_ids.flatten(0, 1)[places], ids)
        encoded = CONTEXT_FREE_SCALE * encoded.to(vectors.dtype)
        return vectors.index_copy(0, places, encoded).unflatten(0, words.shape)


def context_free_encoder_config(config: ElmoConfig) -> ElmoConfig:
    """Of the token encoder that trains with a head, without highway layers and projection."""
    half = config.context_free_size // 2
    return ElmoConfig(
        vocab_size=config.vocab_size,
        character_vocab_size=config.character_vocab_size,
        max_characters_per_token=config.max_characters_per_token,
        word_embedding_size=half,
        filters=[[3, half]],
        num_highway_layers=0,
        projection_size=2 * half,
    )
