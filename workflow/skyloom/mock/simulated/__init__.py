"""The simulated catalogue that MOSAIC learns from."""
