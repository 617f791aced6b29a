"""Spectra in files of many forms, read as one: `skyloom.formats.spectrum_files.readers.read`."""
