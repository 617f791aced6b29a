"""Explore a survey's embeddings: what is like a galaxy (`queries`), and the page that shows it (`page`)."""
