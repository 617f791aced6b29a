"""A folder an analysis: its settings, its numbers, its figures, its captions and claims."""
