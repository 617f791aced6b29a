"""AstroDINO."""
