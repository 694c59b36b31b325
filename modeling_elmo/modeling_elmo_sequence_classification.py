"""Classification of texts and of pairs of texts."""

import torch
from torch import nn
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from .configuration_elmo import ElmoConfig
from .task_layers import ElmoAttentionPooling, ElmoLinear, ElmoTaskLSTM, attend
from .task_model import ElmoTaskModel


class ElmoForSequenceClassification(ElmoTaskModel):
    """Classifies a text or a pair of texts, or (`config.problem_type`) gives several labels or real numbers.

    Both texts are read by one BiLSTM, aligned by attention to each other, compared, composed by a second BiLSTM and
    pooled: ESIM (Chen et al., 2017) for pairs, as in the paper's entailment model. A text alone is its own partner,
    as in the biattentive classification network (McCann et al., 2017) of the paper's sentiment model. With
    `config.num_representations` 2 the second representation stands beside the first BiLSTM's output (Peters et al.,
    2018, section 3.3).
    """

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        size, dropout = config.head_hidden_size, config.head_dropout
        self.encoder = ElmoTaskLSTM(config.word_vector_size, size, config.head_num_layers, dropout)
        self.comparison = ElmoLinear(4 * config.encoded_size, size)
        self.composer = ElmoTaskLSTM(size, size)
        self.pooling = ElmoAttentionPooling(2 * size)
        self.hidden = ElmoLinear(2 * 3 * 2 * size, size)
        self.classifier = ElmoLinear(size, config.num_labels)
        self.dropout = nn.Dropout(dropout)
        self.post_init()
        self.set_trainable()

    @can_return_tuple
    def forward(
        self,
        character_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        layers: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Scores each row's text or pair of texts.

        Args:
            character_ids, attention_mask, input_ids, token_type_ids: as the tokenizer makes them; type 0 is the first
                text, type 1 the second.
            labels (`(batch,)`, or `(batch, num_labels)` for several labels or numbers, *optional*):
                what `config.problem_type` says, which is guessed from them as everywhere in transformers.
            layers (`(batch, sequence, num_layers + 1, directions * P)`, *optional*): instead of `character_ids`, the
                biLM's layers computed before; then pass `input_ids` as well.

        Returns:
            `logits` `(batch, num_labels)`, with labels `loss`; the biLM's layers with `output_hidden_states`.
        """
        representations, words, hidden_states = self.represent(
            character_ids, attention_mask, input_ids, token_type_ids, layers, output_hidden_states
        )
        pooled = self._encode_texts(representations, words, token_type_ids)
        logits = self.classifier(self.dropout(torch.relu(self.hidden(self.dropout(pooled)))))
        loss = None
        if labels is not None:
            loss = ForSequenceClassificationLoss(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden_states)

    def _encode_texts(self, representations, words, token_type_ids) -> torch.Tensor:
        """Vectors of both texts, side by side: `(batch, 12 * size)`."""
        second = words & (token_type_ids == 1) if token_type_ids is not None else torch.zeros_like(words)
        first = words & ~second
        is_pair = second.any(-1, keepdim=True)
        if not bool(is_pair.any()):
            encoded, mask, _ = self.read_left_aligned(representations, words)
            vector = self._compare(encoded, mask, encoded, mask)
            return torch.cat([vector, vector], dim=-1)
        a, a_mask, _ = self.read_left_aligned(representations, first)
        # A text alone is its own partner, whatever the other rows of the batch are.
        b, b_mask, _ = self.read_left_aligned(representations, torch.where(is_pair, second, first))
        return torch.cat([self._compare(a, a_mask, b, b_mask), self._compare(b, b_mask, a, a_mask)], dim=-1)

    def _compare(self, text, text_mask, partner, partner_mask) -> torch.Tensor:
        """The vector of a text seen beside its partner: `(batch, 6 * size)`."""
        aligned = attend(text, partner, partner_mask)
        features = torch.cat([text, aligned, text - aligned, text * aligned], dim=-1)
        compared = torch.relu(self.comparison(self.word_dropout(features)))
        composed = self.composer(self.word_dropout(compared), text_mask)
        # The way around comparison and composition makes the first epochs count.
        return self.pooling(composed + text[..., : composed.shape[-1]], text_mask)


__all__ = ["ElmoForSequenceClassification"]
