"""Redshifts of real spectra."""
