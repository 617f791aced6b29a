"""How near every kind of model comes to what the device can do, and an hour's training of the paper-size SpecFormer.

Run in a checkout: ``python tests/gpu/measure.py [--models specformer ...] [--minutes 60] [--out FOLDER] [--tiny]``. It
needs PyTorch, and of the checkout's other packages pydantic, safetensors and scipy alone; no file and no network. After
every model `measure.json` and `measure.md` are written anew in FOLDER, so that a run that is broken off leaves what it
had; models that FOLDER has from the same device stay.

A step is the trainer's own: forward, backward, clipping, AdamW, running means, with bfloat16 autocast. Model FLOP are
those of the matrix products and convolutions of a step without what is computed again; utilisation is their rate over
the rate of bfloat16 matrix products measured on the same device right before and after.
"""

import argparse
import datetime
import importlib.util
import json
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("torch", "numpy", "pydantic", "safetensors", "scipy")
COLUMNS = {
    "model": "{}",
    "weights, million": "{:.1f}",
    "batch": "{}",
    "samples/s": "{:.4g}",
    "tokens/s": "{:.4g}",
    "TFLOP/s": "{:.4g}",
    "of matrix products": "{:.1%}",
    "compiled: samples/s": "{:.4g}",
    "compiled: of matrix products": "{:.1%}",
    "largest batch": "{}",
    "activations, MiB a sample": "{:.1f}",
    "peak memory, GiB": "{:.2f}",
}


def main() -> None:
    """Measure what is asked for and write it down."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        sys.exit(f"measure.py: {', '.join(lacking)} cannot be imported; install {' '.join(lacking)} and start again")
    sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]
    from tests.gpu import long_training, steps, subjects

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=subjects.NAMES, default=subjects.NAMES)
    parser.add_argument("--minutes", type=float, help="of SpecFormer's training, 0 for none (60, with --tiny 0.05)")
    parser.add_argument("--out", type=Path, default=Path("measured"), help="folder for measure.json and measure.md")
    parser.add_argument("--device", help="cuda where there is one, else cpu")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--most", type=int, help="largest batch that is tried (65536; of a CPU, 8)")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and few steps: does the script itself work?")
    options = parser.parse_args()
    device = steps.Device.found(options.device, options.threads, options.tiny)
    path = options.out / "measure.json"
    found = known(path, device.name, options.tiny)
    with device.ready():
        for name in options.models:
            subject = subjects.subject(name, options.tiny)
            most = options.most or (65536 if device.cuda else 8)
            found["models"][name] = steps.measured(subject, device, most, not options.no_compile)
            write(options.out, found)
        minutes = (0.05 if options.tiny else 60) if options.minutes is None else options.minutes
        if minutes:
            found["training"] = long_training.trained(subjects.subject("specformer", options.tiny), device, minutes)
            write(options.out, found)


def known(path: Path, device: str, tiny: bool) -> dict:
    """What was measured before on the same device, or nothing yet."""
    import torch

    about = {"device": device, "tiny": tiny, "torch": torch.__version__, "python": platform.python_version()}
    earlier = json.loads(path.read_text()) if path.exists() else {}
    same = all(earlier.get(key) == value for key, value in about.items())
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, **about, "models": earlier["models"] if same else {}, "training": None} | (
        {"training": earlier["training"]} if same else {}
    )


def write(folder: Path, found: dict) -> None:
    """The measurements as JSON and as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measure.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "measure.md").write_text(table(found))
    print(table(found), flush=True)


def table(found: dict) -> str:
    """The measurements as Markdown: a row a model, and what the long training did."""
    size = "tiny networks, which measure nothing; " if found["tiny"] else ""
    lines = [
        f"{found['date']}, {found['device']}, torch {found['torch']}; {size}bfloat16 autocast, float32 weights.",
        "",
    ]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in found["models"].values():
        cells = ["" if row.get(name) is None else form.format(row[name]) for name, form in COLUMNS.items()]
        lines.append("| " + " | ".join(cells) + " |")
    rates = [row["matrix products, TFLOP/s"] for row in found["models"].values()]
    if rates:
        lines += ["", f"bfloat16 matrix products: {min(rates):.4g} to {max(rates):.4g} TFLOP/s."]
    lines += [f"{row['model']}: {row['note']}." for row in found["models"].values() if row.get("note")]
    if found["training"]:
        lines += ["", "SpecFormer on generated spectra: " + "; ".join(f"{k} {v}" for k, v in found["training"].items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
