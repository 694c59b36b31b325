"""What all task heads share: the words' vectors, from characters or from layers computed before."""

import torch
from torch import nn
from transformers import initialization as init

from .configuration_elmo import ElmoConfig
from .crf import ElmoCRF, label_constraints
from .modeling_elmo import ElmoModel, ElmoPreTrainedModel
from .task_layers import ElmoStandardization


class ElmoTaskModel(ElmoPreTrainedModel):
    """Base of the task heads: `self.elmo`, frozen by default (`config.freeze_bilm`), and what is built on it.

    A subclass ends its `__init__` with `self.post_init()` and `self.set_trainable()`.
    """

    # Losses are means over a batch's rows, and Trainer divides them by its accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        self.elmo = ElmoModel(config)
        self.standardizations = nn.ModuleList(
            ElmoStandardization(config.hidden_size) for _ in range(config.num_representations)
        )

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
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, tuple[torch.Tensor, ...]]:
        """Represents the words of each text alone: the texts of a row are told apart by `token_type_ids`.

        Args:
            character_ids, attention_mask, input_ids, token_type_ids: as the tokenizer makes them.
            layers (`(batch, sequence, num_layers + 1, directions * P)`, *optional*): the biLM's layers, computed
                before; the biLM is not run then. Needs `input_ids` (to tell the boundary marks from words) and
                `attention_mask` or a row of zeros at padded positions.

        Returns:
            `num_representations` of `(batch, sequence, hidden_size)`, standardised over the training data's words, and
            0 elsewhere; the mask `(batch, sequence)` of words, without padding and boundary marks; `num_layers + 1`
            layers of `(batch, sequence, directions * P)` as the biLM gives them.
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
        standardized = tuple(
            standardize(merged(vectors), words)
            for standardize, vectors in zip(self.standardizations, representations, strict=True)
        )
        return standardized, words, tuple(map(merged, hidden_states))


__all__ = ["ElmoTaskModel"]
