"""What the report says of the benchmark: where its page is, and how many numbers stand side by side."""

import os

from skyloom.analysis.benchmark import Settings
from skyloom.analysis.common.blocks import Shown, Text, grid, read_csv


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"]).dropna(subset=["ours"])
    page = os.path.basename(paths["page"])
    text = (
        f"Every table and figure of the papers has its place in analysis/{page}; {len(table)} published numbers, of"
        " real galaxies, stand beside ours, of this survey."
    )
    shown = table[["paper", "table", "model", "modality", "method", "property", "group", "metric", "published", "ours"]]
    return [Text(text), grid(shown.fillna(""), "Published numbers beside ours", folded=True)]
