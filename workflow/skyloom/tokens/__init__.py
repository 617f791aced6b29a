"""Model inputs: spectra and images made ready for networks, the shard store that holds them, and the batch loader."""
