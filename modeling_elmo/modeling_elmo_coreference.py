"""Coreference resolution: which expressions of a document refer to the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_elmo import ElmoConfig
from .modeling_elmo import evaluation_mode
from .span_ranking import (
    ElmoPairScorer,
    ElmoSpanRefinement,
    ElmoSpanScorer,
    distance_bucket,
    prune_spans,
)
from .task_layers import HIDDEN_DROPOUT_SHARE, ElmoLinear, ElmoTaskLSTM
from .task_model import ElmoTaskModel

Span = tuple[int, int]

# What is read at once where no gradients are needed: memory is bounded, the result the same.
SENTENCES_PER_SEGMENT, WORDS_PER_SEGMENT, MENTIONS_PER_SEGMENT = 32, 1024, 256


@dataclass
class ElmoCoreferenceOutput(ModelOutput):
    """
    Args:
        loss (`()`, with labels): negative marginal log-likelihood of the right antecedents, per mention candidate.
        spans (`(1, n, 2)`): first and last word of the mention candidates, in document order; words are counted over
            the document, boundary marks left out.
        antecedents (`(1, n)`): for each candidate the best earlier one, or -1 for none.
        mention_scores (`(1, n)`): above 0: more likely a mention than not.
    """

    loss: torch.FloatTensor | None = None
    spans: torch.LongTensor | None = None
    antecedents: torch.LongTensor | None = None
    mention_scores: torch.FloatTensor | None = None


class ElmoForCoreferenceResolution(ElmoTaskModel):
    """End-to-end coreference: spans are scored and pruned, then ranked as each other's antecedents, coarse to fine,
    and refined by their antecedents (Lee et al., 2018; the paper's section 4 puts ELMo into Lee et al., 2017).

    A batch is one document; its rows are the sentences. Outside of training a document is read by segments, and every
    mention is still compared to those of all segments before: what comes out is what one pass would give, in memory
    that hardly grows with the document.
    """

    def __init__(self, config: ElmoConfig):
        super().__init__(config)
        size = config.head_hidden_size
        word_size = config.hidden_size * config.num_representations + config.context_free_size
        self.encoder = ElmoTaskLSTM(word_size, size, config.head_num_layers, config.head_dropout)
        encoded_size, features = 2 * size, config.coreference_feature_size
        dropout = HIDDEN_DROPOUT_SHARE * config.head_dropout
        self.dropout = nn.Dropout(dropout)
        self.span_scorer = ElmoSpanScorer(encoded_size, word_size, size, features, config.max_span_width, dropout)
        span_size = 2 * encoded_size + word_size + features
        self.coarse = ElmoLinear(span_size, span_size)
        self.pair_scorer = ElmoPairScorer(span_size, size, features, len(config.coreference_genres), dropout)
        self.refinement = ElmoSpanRefinement(span_size)
        self.post_init()
        self.set_trainable()

    @can_return_tuple
    def forward(
        self,
        character_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        speaker_ids: torch.Tensor | None = None,
        genre: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        layers: torch.Tensor | None = None,
        **kwargs,
    ) -> ElmoCoreferenceOutput:
        """Resolves one document.

        Args:
            character_ids, attention_mask, input_ids: as the tokenizer makes them, a sentence a row.
            speaker_ids (`(sentences,)` or `(sentences, sequence)`, *optional*): 0 unknown, other numbers tell speakers
                apart.
            genre (`()` or `(1,)`): its place in `config.coreference_genres`; needed where there are some.
            labels (`(1, mentions, 3)`, *optional*): first word, last word and chain of each gold mention; -100: none.
            layers (`(sentences, sequence, num_layers + 1, directions * P)`, *optional*): instead of `character_ids`.
        """
        encoded, words, mask = self._encode(
            {
                "character_ids": character_ids,
                "attention_mask": attention_mask,
                "input_ids": input_ids,
                "layers": layers,
            }
        )
        if speaker_ids is not None and speaker_ids.shape not in (mask.shape, mask.shape[:1]):
            raise ValueError(
                f"speaker_ids has shape {tuple(speaker_ids.shape)}; here it must be "
                f"{tuple(mask.shape[:1])} (sentences) or {tuple(mask.shape)} (sentences, sequence)"
            )
        sentence_ids = mask.nonzero()[:, 0]
        if words.shape[0] == 0:
            return self._empty(words, labels)
        weights = self.span_scorer.word_weights(encoded)
        all_spans, all_scores = self._candidates(encoded, words, weights, sentence_ids)
        count = max(1, int(self.config.top_span_ratio * words.shape[0]))
        kept = prune_spans(all_spans, all_scores.detach(), count)
        spans, mention_scores = all_spans[kept], all_scores[kept]
        word_speakers = None
        if speaker_ids is not None:
            word_speakers = (speaker_ids if speaker_ids.dim() == 2 else speaker_ids[:, None].expand_as(mask))[mask]
        antecedents, scores = self._rank(encoded, words, weights, spans, mention_scores, word_speakers, genre)
        loss = None
        if labels is not None:
            gold = labels[0][labels[0, :, 0] != -100]
            loss = self._antecedent_loss(scores, antecedents, chains_of(spans, gold))
            if self.config.predict_singletons:
                loss = loss + self._mention_loss(all_spans, all_scores, gold)
        best = scores.argmax(-1)
        chosen = antecedents.gather(1, (best - 1).clamp(min=0)[:, None])[:, 0] if antecedents.shape[1] else best - 1
        return ElmoCoreferenceOutput(
            loss=loss,
            spans=spans[None],
            antecedents=torch.where(best > 0, chosen, -1)[None],
            mention_scores=mention_scores[None],
        )

    def _empty(self, words: torch.Tensor, labels: torch.Tensor | None) -> ElmoCoreferenceOutput:
        nothing = words.new_zeros(1, 0)
        return ElmoCoreferenceOutput(
            loss=None if labels is None else words.sum(),
            spans=nothing.new_zeros(1, 0, 2, dtype=torch.int64),
            antecedents=nothing.long(),
            mention_scores=nothing,
        )

    def _segments(self, length: int, size: int) -> Iterator[slice]:
        """Ranges of `size`; with gradients, which keep everything in memory anyway, and dropout one of all."""
        size = max(length, 1) if self.training or torch.is_grad_enabled() else size
        return (slice(start, min(start + size, length)) for start in range(0, max(length, 1), size))

    def _encode(self, inputs: dict[str, torch.Tensor | None]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The document's words in their sentences `(words, encoded_size)`, their representations `(words, word_size)`,
        and the mask of words `(sentences, sequence)`."""
        inputs = {name: values for name, values in inputs.items() if values is not None}
        length = max((values.shape[0] for values in inputs.values()), default=0)
        segments = []
        for rows in self._segments(length, SENTENCES_PER_SEGMENT):
            representations, mask, _ = self.represent(**{name: values[rows] for name, values in inputs.items()})
            vectors = self.word_dropout(torch.cat(representations, dim=-1))
            segments.append((self.dropout(self.encoder(vectors, mask))[mask], vectors[mask], mask))
        return tuple(map(torch.cat, zip(*segments, strict=True)))

    def _candidates(self, encoded, words, weights, sentence_ids) -> tuple[torch.Tensor, torch.Tensor]:
        """All spans within a sentence, `(n, 2)`, and their mention scores `(n,)`."""
        segments = []
        for begin in self._segments(words.shape[0], WORDS_PER_SEGMENT):
            # With the words that spans which begin here may reach.
            reach = slice(begin.start, begin.stop + self.config.max_span_width - 1)
            scores = self.span_scorer(encoded[reach], words[reach], weights[reach])
            segments.append(scores[: begin.stop - begin.start])
        scores = torch.cat(segments)
        first = torch.arange(words.shape[0], device=words.device)[:, None].expand_as(scores)
        last = first + torch.arange(scores.shape[1], device=words.device)
        inside = last < words.shape[0]
        inside = inside & (sentence_ids[last.clamp(max=words.shape[0] - 1)] == sentence_ids[first])
        return torch.stack([first[inside], last[inside]], dim=-1), scores[inside].float()

    def _rank(self, encoded, words, weights, spans, mention_scores, word_speakers, genre):
        """The candidates of each mention `(n, k)` and scores `(n, 1 + k)`, "none" (always 0) first."""
        vectors = self.span_scorer.represent(encoded, words, weights, spans)
        count = spans.shape[0]
        k = min(self.config.max_antecedents, count - 1)
        segments = list(self._segments(count, MENTIONS_PER_SEGMENT))
        places = torch.arange(count, device=spans.device)
        left, right = self.dropout(self.coarse(vectors)), self.dropout(vectors)
        best = []
        for rows in segments:
            coarse = (left[rows] @ right.T).float() + mention_scores[rows, None] + mention_scores
            best.append(coarse.masked_fill(places[rows, None] <= places, -torch.inf).topk(k, dim=-1))
        coarse, antecedents = (torch.cat(parts) for parts in zip(*best, strict=True))
        valid = antecedents < places[:, None]
        distances = distance_bucket((places[:, None] - antecedents).clamp(min=0))
        speakers = torch.zeros_like(antecedents)
        if word_speakers is not None:
            said_by = word_speakers[spans[:, 0]]
            same = torch.where(said_by[:, None] == said_by[antecedents], 1, 2)
            speakers = torch.where((said_by[:, None] > 0) & (said_by[antecedents] > 0), same, 0)
        if self.pair_scorer.genres is not None:
            if genre is None:
                raise ValueError("this model uses genres: pass genre, a place in config.coreference_genres")
            genre = genre.reshape(())
            if not 0 <= int(genre) < len(self.config.coreference_genres):
                raise ValueError(
                    f"genre is {int(genre)}, but config.coreference_genres has {len(self.config.coreference_genres)}"
                )
        none = coarse.new_zeros(count, 1)
        for step in range(self.config.coreference_depth):
            dropped = self.dropout(vectors)
            fine = torch.cat(
                [
                    self.pair_scorer(dropped[rows], dropped, antecedents[rows], distances[rows], speakers[rows], genre)
                    for rows in segments
                ]
            )
            scores = torch.cat([none, (coarse + fine.float()).masked_fill(~valid, -torch.inf)], dim=-1)
            if step + 1 < self.config.coreference_depth:
                vectors = torch.cat(
                    [self.refinement(vectors[rows], vectors, antecedents[rows], scores[rows]) for rows in segments]
                )
        return antecedents, scores

    def _antecedent_loss(self, scores, antecedents, chains) -> torch.Tensor:
        """-log of the probability of all right antecedents together: none for what begins a chain or is no mention."""
        right = (chains[antecedents] == chains[:, None]) & (chains[:, None] >= 0) & scores[:, 1:].isfinite()
        right = torch.cat([~right.any(-1, keepdim=True), right], dim=-1)
        return (scores.logsumexp(-1) - scores.masked_fill(~right, -torch.inf).logsumexp(-1)).mean()

    def _mention_loss(self, all_spans, all_scores, gold) -> torch.Tensor:
        """Cross-entropy of "is a mention" over all spans, per gold mention."""
        targets = (chains_of(all_spans, gold) >= 0).float()
        loss = nn.functional.binary_cross_entropy_with_logits(all_scores, targets, reduction="sum")
        return loss / targets.sum().clamp(min=1)

    def clusters(self, output: ElmoCoreferenceOutput) -> list[list[Span]]:
        """The chains of a document, each a sorted list of spans (first and last word); singletons where
        `config.predict_singletons`."""
        return clusters_of(
            output.spans[0].tolist(),
            output.antecedents[0].tolist(),
            output.mention_scores[0].tolist() if self.config.predict_singletons else None,
        )

    @torch.no_grad()
    def resolve(self, sentences: list[list[str]], tokenizer, **features) -> list[list[Span]]:
        """The chains of a document of tokenized sentences; `features` are speaker_ids and genre, tensors or not."""
        batch = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt").to(self.device)
        batch.pop("token_type_ids", None)
        features = {
            name: torch.as_tensor(values, device=self.device)
            for name, values in features.items()
            if values is not None
        }
        with evaluation_mode(self):
            return self.clusters(self(**batch, **features, return_dict=True))


def chains_of(spans: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """The chain of each span `(n, 2)` by gold mentions `(m, 3)`, -1 for those that are none: `(n,)`."""
    if not gold.shape[0]:
        return spans.new_full(spans.shape[:1], -1)
    size = int(torch.cat([spans.flatten(), gold[:, :2].flatten()]).max()) + 1
    keys, order = (gold[:, 0] * size + gold[:, 1]).sort()
    wanted = spans[:, 0] * size + spans[:, 1]
    place = torch.searchsorted(keys, wanted).clamp(max=keys.shape[0] - 1)
    return torch.where(keys[place] == wanted, gold[order][place, 2], -1)


def clusters_of(
    spans: list[list[int]], antecedents: list[int], mention_scores: list[float] | None = None
) -> list[list[Span]]:
    """Chains by following antecedents; with `mention_scores` also lone spans that score above 0."""
    chains: list[list[Span]] = []
    chain_of: dict[int, list[Span]] = {}
    for index, antecedent in enumerate(antecedents):
        if antecedent < 0:
            continue
        if antecedent not in chain_of:
            chain_of[antecedent] = [tuple(spans[antecedent])]
            chains.append(chain_of[antecedent])
        chain_of[index] = chain_of[antecedent]
        chain_of[index].append(tuple(spans[index]))
    if mention_scores is not None:
        chains += [[tuple(spans[i])] for i, score in enumerate(mention_scores) if score > 0 and i not in chain_of]
    return [sorted(chain) for chain in chains]


__all__ = ["ElmoForCoreferenceResolution"]
