"""The card of a trained model, README.md in its folder: what it is, what it learned from, how it is used.

Its head is what model hubs read (YAML between lines of dashes). Numbers are those of the training itself; what the
model is worth is in the tables of the survey's report.
"""

import json
import os
from collections.abc import Mapping

from skyloom.core.errors import BadInput
from skyloom.core.files import write_text

MOCK = "**Mock data**: it has learned from made-up galaxies only; what it says of real ones is not known from this."


def write_card(
    card_path: str | os.PathLike,
    metrics_path: str | os.PathLike,
    out_path: str | os.PathLike,
    survey: str,
    terms: Mapping[str, object],
) -> None:
    """Write the card.

    Parameters
    ----------
    card_path, metrics_path : model.json and metrics.jsonl of the model
    survey : its name
    terms : licence and citations of its data, what it is, and whether it is made up (`Survey.terms`)

    Raises
    ------
    BadInput : a file is damaged.
    """
    try:
        with open(card_path) as file:
            card = json.load(file)
        with open(metrics_path) as file:
            rows = [json.loads(line) for line in file]
    except ValueError as error:
        raise BadInput(f"{card_path}, {metrics_path}: damaged ({error}); delete the model's folder, rerun") from error
    parts = [_head(card, terms), _about(card, survey, terms), _use(card), _numbers(card, rows), _sources(card, terms)]
    write_text(out_path, "\n".join(part for part in parts if part))


def _head(card: dict, terms: Mapping) -> str:
    licence = "" if "weights_from" in card else str(terms["licence"])
    known = licence and "/" not in licence
    head = {"license": licence.lower() if known else "other", "library_name": "skyloom"}
    if licence and not known:
        head["license_link"] = licence
    mock = ["mock"] if terms["simulated"] else []
    head["tags"] = ["astronomy", "galaxies", card["config"]["kind"], *card["modalities"], *mock]
    lines = (f"{key}: {json.dumps(value)}" for key, value in head.items())  # JSON is YAML
    return "\n".join(["---", *lines, "---", ""])


def _about(card: dict, survey: str, terms: Mapping) -> str:
    traits = card["traits"]
    learned = "fitted" if traits["baseline"] else "left as it started" if not traits["trained"] else "trained"
    if "weights_from" in card:
        learned, mock = "trained by others, its published weights read for", ""
    else:
        learned, mock = f"{learned} on", MOCK if terms["simulated"] else ""
    lines = [
        f"# {card['name']}\n",
        f"A model of kind `{card['config']['kind']}` with {card['parameters']:,} numbers, "
        f"{learned} the survey `{survey}`.",
        str(terms["about"] or ""),
        mock,
        f"\nEmbeddings: {', '.join(card['gives']['embeddings']) or 'none'}. "
        f"Predictions: {', '.join(card['gives']['queries']) or 'none'}.",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _use(card: dict) -> str:
    rows = [
        f"| {modality} | {dataset} | {' x '.join(map(str, shape))} |"
        for modality, datasets in sorted(card["takes"].items())
        for dataset, shape in sorted(datasets.items())
    ]
    given = ", ".join(
        f"{modality}={{{', '.join(f'{name!r}: {name}' for name in sorted(datasets))}}}"
        for modality, datasets in sorted(card["takes"].items())
    )  # all it takes; what an embedding does not need may be left out
    call = f"embed({card['gives']['embeddings'][-1]!r}, " if card["gives"]["embeddings"] else "predict("
    return (
        "## Use\n\n```python\nfrom skyloom.embedding.pretrained import from_pretrained\n\n"
        f"found = from_pretrained('.').{call}{given})\n```\n\n| takes | array | shape of a sample |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n\n`model.safetensors` holds the weights, `model.json` every setting; nothing is pickled. "
        "Where `model.onnx` is there, it gives the same embeddings without torch.\n"
    )


def _numbers(card: dict, rows: list[dict]) -> str:
    if not rows or not card["steps"]:
        return ""
    last: dict[str, dict] = {row["split"]: row for row in rows if "split" in row}
    lines = ["## Training\n", f"{card['steps']:,} steps, seed {card['seed']}; run `{card['run'][:16]}`.\n"]
    lines += ["| split | step | metric | value |", "|---|---|---|---|"]
    for split, row in last.items():
        numbers = {k: v for k, v in row.items() if k not in ("split", "step") and isinstance(v, int | float)}
        lines += [f"| {split} | {row['step']} | {name} | {value:.4g} |" for name, value in numbers.items()]
    return "\n".join(lines) + "\n"


def _sources(card: dict, terms: Mapping) -> str:
    lines = ["## Sources\n"]
    for role, source in card.get("weights_from", {}).items():
        lines.append(f"- {role}: {source['from']} (sha256 {source['sha256']}), under the terms of who published it")
    if "weights_from" not in card:
        lines.append(f"- licence of the data it learned from: {terms['licence'] or 'not stated'}")
        lines += [f"- cite: {citation}" for citation in terms["citation"]]
    lines.append(f"- weights: sha256 {card['weights_sha256']}; code {card['code_hash']}")
    return "\n".join(lines) + "\n"
