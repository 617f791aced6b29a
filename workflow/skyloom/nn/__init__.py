"""Torch parts without state: blocks, transforms of spectra and images, masks, draws."""
