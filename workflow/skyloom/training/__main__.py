"""Train a model without Snakemake: ``python -m skyloom.training --config model.json ...``, alone or by torchrun."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from skyloom.core.errors import BadConfig, SkyloomError
from skyloom.tokens.store import Shards
from skyloom.training.loop import train

FILES = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl", "figure": "loss.png"}


def main() -> None:
    """Read the command line, train, and end with one line when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.training", description=__doc__)
    parser.add_argument("--config", required=True, help="JSON file: kind, model, training, seed, threads")
    parser.add_argument(
        "--out", required=True, help="folder for model.safetensors, model.json, metrics.jsonl, loss.png"
    )
    parser.add_argument("--checkpoints", required=True, help="folder for checkpoints; a killed run continues from it")
    parser.add_argument("--tokens", required=True, nargs="+", help="token shards, of one or more modalities")
    parser.add_argument("--splits", required=True, help="Parquet table with targetid and split")
    parser.add_argument("--backbone-image", help="folder of the trained image encoder (astroclip)")
    parser.add_argument("--backbone-spectrum", help="folder of the trained spectrum encoder (astroclip)")
    options = parser.parse_args()
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(asctime)s %(message)s")
    backbones = {"image": options.backbone_image, "spectrum": options.backbone_spectrum}
    try:
        train(
            read_config(options.config),
            by_modality(options.tokens),
            options.splits,
            {name: Path(options.out, file) for name, file in FILES.items()},
            options.checkpoints,
            {modality: folder for modality, folder in backbones.items() if folder},
        )
    except SkyloomError as error:
        sys.exit(f"skyloom.training: {error}")


def read_config(path: str) -> dict:
    """A model's configuration from a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: expected a JSON file with a model's configuration ({error})") from error


def by_modality(paths: list[str]) -> dict[str, list[str]]:
    """Shards sorted by the modality that each file states."""
    tokens: dict[str, list[str]] = {}
    for path in paths:
        tokens.setdefault(str(Shards([path]).attrs.get("modality", "unknown")), []).append(path)
    return tokens


if __name__ == "__main__":
    main()
