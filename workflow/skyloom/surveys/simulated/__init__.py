"""Simulated galaxies: what a simulation knows of a galaxy beside what surveys would measure of it."""
