"""From trained models to tables: embeddings of every galaxy, streamed."""
