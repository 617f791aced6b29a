"""What a telescope makes of it: images and spectra."""
