"""The mock survey beside published relations and real data: what holds, what does not, where each number comes from.

Light to import: the Snakefile takes the names of the figures from here.
"""

SECTION_OF = {
    "relations": "Galaxies and their stars",
    "counts": "Counts, redshifts, colours",
    "colours": "Counts, redshifts, colours",
    "lines": "Emission lines",
    "quality": "Spectra",
    "indices": "Real spectra",
    "which-spectra": "Real spectra",
    "images": "Images",
    "which-images": "Real images",
    "difficulty": "Learning difficulty",
}
"""Figure -> the section of the page and of the table of checks that it belongs to."""
FIGURES = tuple(SECTION_OF)
EXPECTED = "resources/mock_validation.csv"
"""Expected ranges of all checks, each with its source."""


def figure_paths(folder: str) -> dict[str, str]:
    """Figure -> its PNG."""
    return {name: f"{folder}/{name}.png" for name in FIGURES}
