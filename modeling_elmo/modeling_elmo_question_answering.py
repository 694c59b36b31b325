"""Extractive question answering: where in a text the answer to a question begins and ends."""

import torch
from torch import nn
from transformers.modeling_outputs import QuestionAnsweringModelOutput
from transformers.utils import can_return_tuple

from .configuration_elmo import ElmoConfig
from .task_layers import ElmoLinear, ElmoScaling, ElmoTaskLSTM, fill_masked
from .task_model import ElmoTaskModel


class ElmoTrilinearAttention(nn.Module):
    """Similarity `w_1 a_i + w_2 b_j + w_3 (a_i * b_j)` of all words of two texts (Seo et al., 2017, equation 1)."""

    def __init__(self, size: int):
        super().__init__()
        self.from_first, self.from_second = ElmoLinear(size, 1), ElmoLinear(size, 1)
        self.product = ElmoScaling(size)

    def forward(self, first: torch.Tensor, second: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(batch, n, size)`, `(batch, m, size)`, pairs to look at `(batch, 1 or n, m)` -> `(batch, n, m)`, lowest
        where masked."""
        scores = torch.bmm(self.product(first), second.transpose(1, 2))
        scores = scores + self.from_first(first) + self.from_second(second).transpose(1, 2)
        return fill_masked(scores, mask)


class ElmoForQuestionAnswering(ElmoTaskModel):
    """Bidirectional attention flow with self-attention over the text: Seo et al. (2017), Clark and Gardner (2018), the
    model that the paper improves by ELMo.

    The question is the first text of a pair, the text to search the second. Position 0 stands for "no answer".
    """

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        size = config.head_hidden_size
        self.encoder = ElmoTaskLSTM(config.word_vector_size, size, config.head_num_layers, config.head_dropout)
        self.cross_attention = ElmoTrilinearAttention(config.encoded_size)
        self.merge = ElmoLinear(4 * config.encoded_size, 2 * size)
        self.self_encoder = ElmoTaskLSTM(2 * size, size)
        self.self_attention = ElmoTrilinearAttention(2 * size)
        self.self_merge = ElmoLinear(3 * 2 * size, 2 * size)
        self.start_encoder = ElmoTaskLSTM(2 * size, size)
        self.end_encoder = ElmoTaskLSTM(4 * size, size)
        self.start, self.end = ElmoLinear(2 * size, 1), ElmoLinear(2 * size, 1)
        self.no_answer = ElmoLinear(2 * size, 2)
        self.post_init()
        self.set_trainable()

    @can_return_tuple
    def forward(
        self,
        character_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        start_positions: torch.Tensor | None = None,
        end_positions: torch.Tensor | None = None,
        layers: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> QuestionAnsweringModelOutput:
        """Scores every position as the answer's first and last word.

        Args:
            character_ids, attention_mask, input_ids, token_type_ids: a pair as the tokenizer makes it, the question
                being type 0 and the text type 1.
            start_positions, end_positions (`(batch,)`, *optional*): first and last word of the answer; 0: none;
                positions outside of the sequence are ignored, others must be words of the text.
            layers (`(batch, sequence, num_layers + 1, directions * P)`, *optional*): instead of `character_ids`.

        Returns:
            `start_logits` and `end_logits` `(batch, sequence)`: the text's words and position 0, lowest elsewhere;
            with positions `loss`.
        """
        if token_type_ids is None:
            raise ValueError("pass token_type_ids: they tell the question (0) from the text (1)")
        representations, words, hidden_states = self.represent(
            character_ids, attention_mask, input_ids, token_type_ids, layers, output_hidden_states
        )
        in_text = words & (token_type_ids == 1)
        question, question_mask, _ = self.read_left_aligned(representations, words & (token_type_ids == 0))
        text, mask, index = self.read_left_aligned(representations, in_text)
        merged = self._attend_to_question(text, mask, question, question_mask)
        merged = merged + self._attend_to_itself(merged, mask)
        starts = self.start_encoder(self.word_dropout(merged), mask)
        ends = self.end_encoder(self.word_dropout(torch.cat([merged, starts], dim=-1)), mask)
        pooled = (merged * mask[..., None]).sum(1) / mask.sum(-1, keepdim=True).clamp(min=1)
        logits = torch.stack([self.start(starts)[..., 0], self.end(ends)[..., 0]])
        start_logits, end_logits = self._spread(logits, index, mask, words.shape[1], self.no_answer(pooled))
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = position_loss(start_logits, start_positions) + position_loss(end_logits, end_positions)
            loss = loss / 2
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=hidden_states,
        )

    def _attend_to_question(self, text, mask, question, question_mask) -> torch.Tensor:
        text, question = self.word_dropout(text), self.word_dropout(question)
        scores = self.cross_attention(text, question, question_mask[:, None])
        asked = scores.softmax(-1) @ question
        # The words of the text that matter most to some word of the question, the same for all.
        best = fill_masked(scores.amax(-1), mask)
        wanted = best.softmax(-1)[:, None] @ text
        return torch.relu(self.merge(torch.cat([text, asked, text * asked, wanted * asked], dim=-1)))

    def _attend_to_itself(self, merged, mask) -> torch.Tensor:
        text = self.self_encoder(self.word_dropout(merged), mask)
        others = mask[:, None] & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        # A word alone has no others, and attends to nothing: not to the padding of its batch.
        shares = self.self_attention(text, text, others).softmax(-1) * others
        attended = shares @ text
        return torch.relu(self.self_merge(torch.cat([text, attended, text * attended], dim=-1)))

    @staticmethod
    def _spread(logits, index, mask, length: int, no_answer) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `(2, batch, n)` back to the positions they come from, and those of no answer `(batch, 2)` to 0."""
        spread = logits.new_full((2, mask.shape[0], length), torch.finfo(logits.dtype).min)
        spread = spread.scatter(2, index.expand(2, -1, -1), fill_masked(logits, mask))
        return torch.cat([no_answer.T[..., None], spread[..., 1:]], dim=-1).unbind(0)


def position_loss(scores: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the rows whose position is in the sequence, 0 where none is: `(batch, sequence)`,
    `(batch,)` -> `()`.

    Raises:
        ValueError: if a position may not be chosen.
    """
    positions = positions.reshape(-1).long()
    rows = ((positions >= 0) & (positions < scores.shape[1])).nonzero()[:, 0]
    scores, positions = scores[rows], positions[rows]
    lowest = scores.gather(1, positions[:, None])[:, 0] == torch.finfo(scores.dtype).min
    if bool(lowest.any()):
        row = int(lowest.nonzero()[0])
        raise ValueError(
            f"row {int(rows[row])} of the batch begins or ends its answer at position {int(positions[row])}, which is "
            "no word of its text: count positions over the whole row, or give 0 for no answer"
        )
    return nn.functional.cross_entropy(scores.float(), positions, reduction="sum") / max(len(rows), 1)


__all__ = ["ElmoForQuestionAnswering"]
