"""What makes a run another run: config, data, and the code that decides its numbers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import skyloom
from skyloom.training.results import code_of

SPECFORMER = {"kind": "specformer"}
ASTROCLIP = {"kind": "astroclip", "backbones": {"spectrum": SPECFORMER, "lsst": {"kind": "pca"}}}


@pytest.fixture
def key(tmp_path):
    """A function (config, changed module, text to add) -> hash of the code with that change made in a copy."""

    def key(config, module, text="\nchanged = 1\n"):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        ignore = shutil.ignore_patterns("__pycache__", "mock", "*.png")
        library = Path(shutil.copytree(Path(skyloom.__file__).parent, tmp_path / "copy" / "skyloom", ignore=ignore))
        changed = library / module
        changed.write_text(changed.read_text() + text)
        code = f"from skyloom.training.results import code_of; print(code_of({config!r}))"
        environment = {"PYTHONPATH": str(library.parent)}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    return key


@pytest.mark.parametrize(
    "module",
    ["figures/style.py", "training/figure.py", "training/run.py", "embedding/embed.py", "models/pca/network.py"],
)
def test_what_decides_no_number_of_a_training_does_not_count(key, module):
    assert key(SPECFORMER, module) == code_of(SPECFORMER)


@pytest.mark.parametrize("module", ["nn/draws.py", "training/trainer.py", "models/specformer/network.py"])
def test_code_that_decides_numbers_counts(key, module):
    assert key(SPECFORMER, module) != code_of(SPECFORMER)


def test_the_code_of_backbones_counts(key):
    assert key(ASTROCLIP, "models/pca/network.py") != code_of(ASTROCLIP)
    assert code_of(ASTROCLIP) != code_of({"kind": "astroclip"})
