"""The simulator: physical galaxies with known truth, written as the real surveys write theirs."""
