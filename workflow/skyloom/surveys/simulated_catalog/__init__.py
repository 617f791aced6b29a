"""A user's own simulated galaxies, in HDF5 or Parquet: the survey kind `simulated_catalog`."""
