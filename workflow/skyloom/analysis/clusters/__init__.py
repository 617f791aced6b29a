"""Clusters of embeddings."""
