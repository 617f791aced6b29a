"""The files of a simulated catalogue. Light to import: the Snakefile reads this while it builds the DAG."""

SETTINGS = ("population", "magnitude_limit", "redshift_max", "galaxies_per_part", "noise")
"""What of a survey's configuration a part depends on."""


def part_file(part: int) -> str:
    """Part `part` of the catalogue, relative to the survey's raw folder."""
    return f"catalog/simulated-{part:04d}.h5"


def raw_files(survey: dict) -> dict[str, list[str]]:
    """The raw files by role."""
    return {"simulated": [part_file(part) for part in range(survey["parts"])]}
