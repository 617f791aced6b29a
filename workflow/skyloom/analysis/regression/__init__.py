"""Galaxy properties from embeddings."""
