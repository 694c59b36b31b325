"""Text to vectors, from Python and in the files that older pipelines read."""

from .embed_file import EmbeddingSummary, embed_file
from .vectors import ElmoEmbedder, embed

__all__ = ["ElmoEmbedder", "EmbeddingSummary", "embed", "embed_file"]
