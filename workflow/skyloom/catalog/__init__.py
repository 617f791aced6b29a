"""From survey catalogues to one table of galaxies: cross-match, quality cuts, labels, leak-safe splits."""
