"""What every room needs: errors, files that are whole or absent, jobs, hashes of code, provenance."""
