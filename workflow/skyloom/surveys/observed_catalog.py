"""Observed galaxies of the user's own, read as `simulated_catalog` is: magnitudes, perhaps redshifts."""

import dataclasses

from skyloom.surveys import simulated_catalog

KIND = dataclasses.replace(simulated_catalog.KIND, simulated=False)
