"""What embeds text, and little text that makes many batches."""

import pytest

from modeling_elmo.embedding import batches, vectors


@pytest.fixture(scope="module")
def embedder(checkpoint) -> vectors.ElmoEmbedder:
    return vectors.ElmoEmbedder(checkpoint, layers="all", device="cpu")


@pytest.fixture
def small_batches(monkeypatch):
    """Batches and windows so small that little text makes many."""
    monkeypatch.setattr(batches, "BATCH_TOKENS", 24)
    monkeypatch.setattr(batches, "WINDOW_TOKENS", 60)
