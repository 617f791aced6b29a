"""Every setting once, the kinds that exist, and the names of results."""
