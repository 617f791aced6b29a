"""What was published of lines, each of one galaxy: the project page of Himes et al. 2025 (MMAE)."""

import dataclasses

SOURCE = "Himes et al. 2025, project page; one galaxy each, real spectra of DESI"


@dataclasses.dataclass(frozen=True)
class Published:
    """(observed, reconstructed): width in Angstrom, height in units of the standardised spectrum (None: not given);
    whether the whole spectrum was hidden."""

    width: tuple[float, float]
    height: tuple[float, float] | None
    whole: bool


LINES = {
    "H-alpha": Published((34.5, 528.0), None, False),
    "Ly-alpha": Published((48.0, 312.0), (17.2, 5.8), True),
    "C IV": Published((72.0, 648.0), None, True),
}
