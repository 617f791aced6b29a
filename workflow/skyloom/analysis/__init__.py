"""From embeddings and labels to tidy tables, figures and a report."""
