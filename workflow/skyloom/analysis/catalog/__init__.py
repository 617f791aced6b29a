"""What a survey holds: redshifts, magnitudes, colours, positions."""
