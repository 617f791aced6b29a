"""Train a model without Snakemake: ``python -m skyloom.training --config model.json ...``, alone or by torchrun."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from skyloom.core.errors import BadConfig, SkyloomError
from skyloom.settings import kinds
from skyloom.tokens.modalities import by_modality
from skyloom.training.figure import draw
from skyloom.training.run import statistics_by_modality, train

FILES = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl"}
FIGURE = "loss.png"


def main() -> None:
    """Read the command line, train, and end with one line when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.training", description=__doc__)
    parser.add_argument(
        "--config",
        required=True,
        help="JSON file: kind, modality (or modalities, or backbones), model, training, name, seed, threads",
    )
    parser.add_argument("--out", required=True, help=f"folder for {', '.join(FILES.values())}, {FIGURE}")
    parser.add_argument("--checkpoints", required=True, help="folder for checkpoints; a killed run continues from it")
    parser.add_argument("--tokens", required=True, nargs="+", help="token shards, of one or more modalities")
    parser.add_argument("--splits", required=True, help="Parquet table with targetid and split")
    parser.add_argument(
        "--galaxies", help="galaxies.parquet, or a table of yours, for models that learn from its columns"
    )
    parser.add_argument("--statistics", nargs="*", default=[], help="statistics.json of the tokens of each modality")
    parser.add_argument(
        "--backbone",
        action="append",
        default=[],
        metavar="MODALITY=FOLDER",
        help="a trained model to build on (for astroclip and its like); once for each modality",
    )
    parser.add_argument("--start", metavar="FOLDER", help="a trained model of the same shape to train on from")
    parser.add_argument(
        "--extensions", action="append", default=[], metavar="FOLDER", help="folder with kinds of models of your own"
    )
    options = parser.parse_args()
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(asctime)s %(message)s")
    out = {name: Path(options.out, file) for name, file in FILES.items()}
    try:
        kinds.extend(str(Path(folder).resolve()) for folder in options.extensions)
        config = read_config(options.config)
        train(
            config,
            by_modality(options.tokens),
            options.splits,
            out,
            options.checkpoints,
            dict(pair(text) for text in options.backbone),
            options.galaxies,
            statistics_by_modality(options.statistics),
            options.start,
        )
        if first:
            draw(out["metrics"], Path(options.out, FIGURE), config.get("name") or out["card"].parent.name)
    except SkyloomError as error:
        sys.exit(f"skyloom.training: {error}")


def read_config(path: str) -> dict:
    """A model's configuration from a JSON file."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
        return found
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: expected a JSON file with a model's configuration ({error})") from error


def pair(text: str) -> tuple[str, str]:
    """("image", "models/x") of "image=models/x"."""
    modality, found, folder = text.partition("=")
    if not (modality and found and folder):
        raise BadConfig(f"--backbone {text}: expected MODALITY=FOLDER, e.g. image=results/mock/models/astrodino")
    return modality, folder


if __name__ == "__main__":
    main()
