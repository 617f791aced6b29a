"""What kinds of model share; no kind itself."""
