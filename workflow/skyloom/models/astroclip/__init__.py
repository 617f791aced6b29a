"""AstroCLIP."""
