"""A few galaxies as the models see them."""
