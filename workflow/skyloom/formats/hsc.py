"""Hyper Suprime-Cam: what its images are, for code that reads no file."""

BANDS = ("g", "r", "i", "z", "y")
PIXEL_SCALE = 0.168
"""Arcsec a pixel."""
ZERO_POINT = 27.0
COUNTS_PER_NANOMAGGY = 10 ** (0.4 * (ZERO_POINT - 22.5))
