"""File formats, read and written: DESI, Legacy Surveys, GalaxiesML, PROVABGS, simulated catalogues."""
