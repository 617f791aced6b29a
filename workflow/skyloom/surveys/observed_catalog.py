"""A catalogue of observed galaxies of the user's own, as `simulated_catalog` reads it: magnitudes, perhaps redshifts."""

import dataclasses

from skyloom.surveys import simulated_catalog

KIND = dataclasses.replace(simulated_catalog.KIND, simulated=False)
