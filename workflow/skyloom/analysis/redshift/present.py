"""What the report says of redshifts from neighbours: what this is and is not, the table, the spectra."""

from skyloom.analysis.common.blocks import Figure, Shown, Text, grid, read_csv
from skyloom.analysis.redshift import Settings


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    made_up = survey.host_simulated and not survey.simulated
    host = f'"{survey.host}"' + (", a simulation, and has never seen a real spectrum" if made_up else "")
    note = Text(
        f"What this is: the encoder was trained on the survey {host}. Each estimate is the mean redshift of the "
        f'nearest {settings.k} training galaxies; "z spread" is their scatter. A few galaxies are a check of the path '
        "and of how far the training carries over, not a measurement of accuracy. "
        '"distance percentile" compares the distance to the nearest training galaxy with that of galaxies held out of '
        "training: near 100, the galaxy is unlike those of training.",
        warns=True,
    )
    return [note, grid(read_csv(paths["table"])), Figure(paths["figure"])]
