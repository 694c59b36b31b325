"""A label for every word: named entities, parts of speech."""

import torch
from torch import nn
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.utils import can_return_tuple

from .configuration_elmo import ElmoConfig
from .crf import ElmoCRF
from .task_layers import ElmoLinear, ElmoTaskLSTM
from .task_model import ElmoTaskModel


class ElmoForTokenClassification(ElmoTaskModel):
    """Labels words by a BiLSTM and a CRF, the tagger of Peters et al. (2018, section 4).

    The CRF allows only the transitions of the label scheme that the names in `config.id2label` follow
    (`config.label_scheme`). With `config.num_representations` 2 the second representation stands beside the BiLSTM's
    output.

    In evaluation mode `logits` are the CRF's max-marginals: the score of the best label sequence with that label at
    that word, less the score of the best of all. So their argmax at every word, which is what the stock pipeline and
    the usual `compute_metrics` take, is the Viterbi path and obeys the label scheme, and their softmax compares the
    best sequences with each label. In training mode, where nobody reads them, they are the scores before the CRF.
    """

    accepts_loss_kwargs = True  # see `num_items_in_batch`

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        size, dropout = config.head_hidden_size, config.head_dropout
        self.encoder = ElmoTaskLSTM(config.word_vector_size, size, config.head_num_layers, dropout)
        self.hidden = ElmoLinear(config.encoded_size, size)
        self.classifier = ElmoLinear(size, config.num_labels)
        self.dropout = nn.Dropout(dropout)
        self.crf = ElmoCRF.of(config)
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
        num_items_in_batch: torch.Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Labels each word; padding and boundary marks are not in the CRF's chain, their logits are 0.

        Args:
            character_ids, attention_mask, input_ids, token_type_ids: as the tokenizer makes them.
            labels (`(batch, sequence)`, *optional*): -100 for a word without a known label, which may then have any.
            layers (`(batch, sequence, num_layers + 1, directions * P)`, *optional*): instead of `character_ids`, the
                biLM's layers computed before; then pass `input_ids` as well.
            num_items_in_batch (*optional*): labelled words by which the loss is divided, where a step of the optimizer
                accumulates several batches (Trainer says it). By default those of this batch.

        Returns:
            `logits` `(batch, sequence, num_labels)`; with labels `loss`, the negative log-likelihood in nats a word;
            the biLM's layers with `output_hidden_states`.
        """
        representations, words, hidden_states = self.represent(
            character_ids, attention_mask, input_ids, token_type_ids, layers, output_hidden_states
        )
        encoded = self.read(representations, words)
        emissions = self.classifier(self.dropout(torch.relu(self.hidden(self.word_dropout(encoded)))))
        loss = None
        if labels is not None:
            loss = self.crf.mean_loss(emissions, labels, words, num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss,
            logits=emissions if self.training else self.crf.best_scores(emissions, words),
            hidden_states=hidden_states,
        )


__all__ = ["ElmoForTokenClassification"]
