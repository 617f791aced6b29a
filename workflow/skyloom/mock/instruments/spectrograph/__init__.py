"""What fibres see: line spread, throughput, sky, noise, and redshifts fitted to the result."""
