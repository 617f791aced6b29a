"""Maps of embeddings."""
