"""Where galaxies are: footprint, clustering, groups, catalogues with their positional errors."""
