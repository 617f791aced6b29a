"""Embeddings, predictions and reconstructions: a table a shard, joined into one a survey."""
