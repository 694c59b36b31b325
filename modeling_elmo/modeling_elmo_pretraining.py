"""The language models of ELMo, forward and backward: what is pretrained (Peters et al., 2018, section 3.1)."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_elmo import ElmoConfig
from .modeling_elmo import ElmoModel, ElmoPreTrainedModel, State, batch_first, check_range
from .softmax import ElmoAdaptiveSoftmax, ElmoSoftmax, NegativeSamples, sample_log_uniform


@dataclass
class ElmoForPreTrainingOutput(ModelOutput):
    """
    Args:
        loss (`()`, with targets): mean of the directions' losses in nats a word.
        forward_loss, backward_loss (`()`, with targets): mean loss of each direction.
        forward_surprisal, backward_surprisal (`(batch, sequence)`, for sentences): `-log p(word)` in nats given the
            words before and after it; 0 where nothing is predicted (masked, ignored, and the boundary at which the
            direction starts).
        hidden_states, state: as in [`ElmoModelOutput`].
    """

    loss: torch.FloatTensor | None = None
    forward_loss: torch.FloatTensor | None = None
    backward_loss: torch.FloatTensor | None = None
    forward_surprisal: torch.FloatTensor | None = None
    backward_surprisal: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    state: tuple[torch.FloatTensor, torch.FloatTensor] | None = None


class ElmoForPreTraining(ElmoPreTrainedModel):
    """The forward and the backward language model over one softmax (Peters et al., 2018, section 3.1).

    The loss is sampled in training mode (`config.num_negative_samples`) and exact in evaluation mode.
    """

    _tied_weights_keys = {"softmax.weight": "elmo.token_encoder.word_embeddings.weight"}

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        self.elmo = ElmoModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.softmax = ElmoSoftmax(config) if config.adaptive_softmax_cutoffs is None else ElmoAdaptiveSoftmax(config)
        if self.elmo.token_encoder.word_embeddings is None:
            self._tied_weights_keys = {}
        self.post_init()
        self.set_trainable()

    def get_output_embeddings(self) -> nn.Linear | None:
        return self.softmax if isinstance(self.softmax, ElmoSoftmax) else None

    def set_trainable(self):
        # The combination belongs to what comes after pretraining; it is saved with the rest, as it starts.
        self.elmo.combinations.requires_grad_(False)

    @can_return_tuple
    def forward(
        self,
        character_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        forward_index: torch.Tensor | None = None,
        backward_index: torch.Tensor | None = None,
        forward_targets: torch.Tensor | None = None,
        backward_targets: torch.Tensor | None = None,
        negative_samples: NegativeSamples | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> ElmoForPreTrainingOutput:
        """Scores sentences, or (with `forward_index`) windows of two continuous streams.

        For sentences the inputs are those of [`ElmoModel`], and each word is predicted from the words before it and
        from the words after it.

        Args:
            labels (`(batch, sequence)`, *optional*): word ids to predict, -100 for those to ignore. By default
                `input_ids`; without both nothing is scored.
            forward_index, backward_index (`(batch, window)`): for windows, where each position of the two streams
                finds its word among `character_ids` `(words, characters)` and `input_ids` `(words,)`. The backward
                stream holds reversed sentences.
            forward_targets, backward_targets (`(batch, window)`): the next word of each stream, -100 to ignore. (Not
                called labels: Trainer would miss them beside `labels`, and evaluate without a loss.)
            negative_samples ([`NegativeSamples`], *optional*): for the sampled softmax; drawn anew by default.
        """
        if forward_index is not None:
            indices = [forward_index] if backward_index is None else [forward_index, backward_index]
            targets = [forward_targets] if backward_targets is None else [forward_targets, backward_targets]
            return self._score_windows(character_ids, input_ids, indices, targets, negative_samples, state, use_cache)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        outputs = self.elmo(
            character_ids,
            attention_mask,
            input_ids,
            state=state,
            use_cache=use_cache,
            output_hidden_states=True,
            return_dict=True,
        )
        losses, surprisals = [None, None], [None, None]
        labels = input_ids if labels is None else labels
        if labels is not None:
            mask = self.elmo.token_mask(character_ids, attention_mask, input_ids)
            if labels.shape != mask.shape:
                raise ValueError(
                    f"labels has shape {tuple(labels.shape)}, but the tokens have (batch, sequence) = "
                    f"{tuple(mask.shape)}"
                )
            losses, surprisals = self._score_sentences(
                outputs.hidden_states[-1], mask, labels, input_ids, negative_samples
            )
        return ElmoForPreTrainingOutput(
            loss=mean_loss(losses),
            forward_loss=losses[0],
            backward_loss=losses[1],
            forward_surprisal=surprisals[0],
            backward_surprisal=surprisals[1],
            hidden_states=outputs.hidden_states if output_hidden_states else None,
            state=outputs.state,
        )

    def _score_sentences(self, hidden, mask, labels, input_ids, negative_samples):
        """Mean loss and surprisals of each direction, `None` for a missing one."""
        hidden = self.dropout(hidden)
        rows, columns = mask.nonzero(as_tuple=True)
        tokens = rows * mask.shape[1] + columns
        words = labels.flatten()[tokens]
        same_row = rows[1:] == rows[:-1]
        if input_ids is not None:
            # From one sentence of a row to the next nothing is predicted.
            same_row &= input_ids.flatten()[tokens[:-1]] != self.config.eos_token_id
        before, after = tokens[:-1], tokens[1:]
        losses, surprisals = [None, None], [None, None]
        for direction in range(self.config.num_directions):
            source, target, label = (before, after, words[1:]) if direction == 0 else (after, before, words[:-1])
            scored = same_row & (label != -100)
            check_range("labels", label[scored], self.config.vocab_size, "vocab_size")
            vectors = hidden.chunk(self.config.num_directions, dim=-1)[direction].flatten(0, 1)[source[scored]]
            surprisal = self._word_losses(vectors, label[scored], negative_samples)
            losses[direction] = mean_or_zero(surprisal)
            padded = surprisal.new_zeros(mask.numel()).index_copy(0, target[scored], surprisal)
            surprisals[direction] = padded.unflatten(0, mask.shape)
        return losses, surprisals

    def _score_windows(self, character_ids, input_ids, indices, targets, negative_samples, state, use_cache):
        """Losses of windows whose words are given once each."""
        vectors = self.elmo.token_encoder(character_ids, input_ids)
        batch, length = indices[0].shape
        # Every row has a word at each step: packed, a window is just its transpose.
        inputs = torch.stack([vectors[index.t().flatten()] for index in indices])
        rows = torch.arange(batch, device=inputs.device)
        outputs, last_state = self.elmo.lstm(
            inputs, [batch] * length, self.elmo.initial_state(state, rows, inputs.dtype)
        )
        hidden = self.dropout(outputs[-1])
        words = torch.stack([target.t().flatten() for target in targets])
        scored = words != -100
        surprisal = self._word_losses(hidden[scored], words[scored], negative_samples)
        losses = [mean_or_zero(part) for part in surprisal.split(scored.sum(-1).tolist())]
        losses += [None] * (2 - len(losses))
        return ElmoForPreTrainingOutput(
            loss=mean_loss(losses),
            forward_loss=losses[0],
            backward_loss=losses[1],
            state=batch_first(last_state, rows) if use_cache else None,
        )

    def _word_losses(self, hidden: torch.Tensor, targets: torch.Tensor, samples: NegativeSamples | None):
        """`(n, P)`, `(n,)` -> `(n,)`: sampled in training, exact in evaluation."""
        targets = targets.long()
        if not (self.training and self.config.samples_softmax):
            return self.softmax.exact_loss(hidden, targets)
        if samples is None:
            samples = sample_log_uniform(self.config.vocab_size, self.config.num_negative_samples)
        return self.softmax.sampled_loss(hidden, targets, samples.to(hidden.device))


def mean_or_zero(surprisal: torch.Tensor) -> torch.Tensor:
    """The mean; of nothing, a zero that has a graph all the same."""
    return surprisal.mean() if surprisal.numel() else surprisal.sum()


def mean_loss(losses: list[torch.Tensor | None]) -> torch.Tensor | None:
    losses = [loss for loss in losses if loss is not None]
    return sum(losses) / len(losses) if losses else None


__all__ = ["ElmoForPreTraining"]
