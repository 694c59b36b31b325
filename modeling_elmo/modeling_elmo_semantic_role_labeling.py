"""Semantic role labelling: who did what to whom, for a given predicate."""

import torch
from torch import nn
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.utils import can_return_tuple

from .configuration_elmo import ElmoConfig
from .crf import ElmoCRF
from .modeling_elmo import evaluation_mode
from .task_layers import HIDDEN_DROPOUT_SHARE, ElmoFeatureEmbedding, ElmoLinear, ElmoTaskLSTM, ElmoVariationalDropout
from .task_model import ElmoTaskModel


class ElmoHighwayLSTM(nn.Module):
    """BiLSTMs on top of each other, each with a gate that lets its input pass: He et al. (2017), section 2.1."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float):
        super().__init__()
        sizes = [input_size, *[2 * hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(ElmoTaskLSTM(size, hidden_size) for size in sizes)
        self.gates = nn.ModuleList(ElmoLinear(size + 2 * hidden_size, 2 * hidden_size) for size in sizes)
        self.passes = nn.ModuleList(ElmoLinear(size, 2 * hidden_size) for size in sizes)
        self.dropout = ElmoVariationalDropout(dropout)

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(batch, sequence, input_size)`, `(batch, sequence)` -> `(batch, sequence, 2 * hidden_size)`"""
        for layer, gate, carry in zip(self.layers, self.gates, self.passes, strict=True):
            vectors = self.dropout(vectors)
            output = layer(vectors, mask)
            share = torch.sigmoid(gate(torch.cat([vectors, output], dim=-1)))
            # Not by torch.lerp, which takes no two types, as autocast gives them.
            carried = carry(vectors)
            vectors = carried + share * (output - carried)
        return vectors


class ElmoForSemanticRoleLabeling(ElmoTaskModel):
    """Labels the arguments of one predicate in BIO form: a highway BiLSTM over words and the predicate's mark, decoded
    by Viterbi under the constraints of the labels (He et al., 2017, the model that the paper improves by ELMo); the
    transitions are trained, a CRF.

    A row of the batch is a sentence with one of its predicates. As in [`ElmoForTokenClassification`], `logits` are
    max-marginals in evaluation mode: their argmax is the best allowed sequence of labels.
    """

    accepts_loss_kwargs = True  # see `num_items_in_batch`

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        self.predicates = ElmoFeatureEmbedding(2, config.predicate_embedding_size)
        input_size = config.word_vector_size + config.predicate_embedding_size
        dropout = HIDDEN_DROPOUT_SHARE * config.head_dropout
        self.encoder = ElmoHighwayLSTM(input_size, config.head_hidden_size, config.head_num_layers, dropout)
        self.classifier = ElmoLinear(config.encoded_size, config.num_labels)
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
        predicate_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        layers: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Labels each word's part in what the predicate says.

        Args:
            character_ids, attention_mask, input_ids, token_type_ids: as the tokenizer makes them.
            predicate_mask (`(batch, sequence)`): 1 at the predicate.
            labels (`(batch, sequence)`, *optional*): -100 for words without a known label.
            layers (`(batch, sequence, num_layers + 1, directions * P)`, *optional*): instead of `character_ids`.
            num_items_in_batch (*optional*): labelled words by which the loss is divided.

        Returns:
            `logits` `(batch, sequence, num_labels)`; with labels `loss`, in nats a word.
        """
        if predicate_mask is None:
            raise ValueError("pass predicate_mask: 1 at the word whose arguments are to be found, 0 elsewhere")
        representations, words, hidden_states = self.represent(
            character_ids, attention_mask, input_ids, token_type_ids, layers, output_hidden_states
        )
        marks = self.predicates((predicate_mask != 0).long())
        emissions = self.classifier(self.read(representations, words, marks))
        loss = None
        if labels is not None:
            loss = self.crf.mean_loss(emissions, labels, words, num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss,
            logits=emissions if self.training else self.crf.best_scores(emissions, words),
            hidden_states=hidden_states,
        )

    @torch.no_grad()
    def label(self, sentences: list[list[str]], predicates: list[int], tokenizer) -> list[list[str]]:
        """The label of each word of tokenized sentences, for one predicate (a word number) each.

        Raises:
            ValueError: if a sentence has no predicate, or a predicate is no word of its sentence.
        """
        if len(sentences) != len(predicates):
            raise ValueError(
                f"{len(sentences)} sentences and {len(predicates)} predicates: give a sentence once for each predicate"
            )
        batch = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
        mask = torch.zeros_like(batch["attention_mask"])
        # Where each word stands: after the boundary mark, and after padding on the left.
        places = [
            [position for position, word in enumerate(batch.word_ids(row)) if word is not None]
            for row in range(len(sentences))
        ]
        for row, (place, predicate) in enumerate(zip(places, predicates, strict=True)):
            if not 0 <= predicate < len(place):
                raise ValueError(
                    f"sentence {row} has {len(place)} words, counted from 0: number {predicate} is no predicate"
                )
            mask[row, place[predicate]] = 1
        with evaluation_mode(self):
            logits = self(**batch.to(self.device), predicate_mask=mask.to(self.device), return_dict=True).logits
        best = logits.argmax(-1).tolist()
        return [[self.config.id2label[best[row][position]] for position in place] for row, place in enumerate(places)]


__all__ = ["ElmoForSemanticRoleLabeling"]
