"""Which galaxies there are: masses, histories, metals, dust, nuclei, shapes, and what the surveys select."""
