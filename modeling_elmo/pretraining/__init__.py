"""Pretraining of a bidirectional language model: corpus, vocabulary, streams of windows, trainer."""
