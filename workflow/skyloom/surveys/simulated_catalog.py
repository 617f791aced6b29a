"""The raw files of a user's simulated catalogue: one part file for each of the files. Light to import."""

from skyloom.surveys.simulated import part_file


def raw_files(survey: dict) -> dict[str, list[str]]:
    """The raw files by role."""
    return {"simulated": [part_file(part) for part in range(len(survey["files"]))]}
