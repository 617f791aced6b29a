"""What makes a run another run: config, data, and the code that decides its numbers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import skyloom
from skyloom.training.results import code_of
from tests.paths import LIBRARY

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


NO_NUMBERS = (
    "figures/style.py",
    "training/figure.py",
    "training/run.py",
    "embedding/embed.py",
    "models/pca/network.py",
    "settings/layout.py",
)


@pytest.mark.parametrize("module", NO_NUMBERS)
def test_what_decides_no_number_of_a_training_does_not_count(key, module):
    assert key(SPECFORMER, module) == code_of(SPECFORMER)


@pytest.mark.parametrize("module", ["nn/draws.py", "training/trainer.py", "models/specformer/network.py"])
def test_code_that_decides_numbers_counts(key, module):
    assert key(SPECFORMER, module) != code_of(SPECFORMER)


def test_the_code_of_backbones_counts(key):
    assert key(ASTROCLIP, "models/pca/network.py") != code_of(ASTROCLIP)
    assert code_of(ASTROCLIP) != code_of({"kind": "astroclip"})


def test_a_module_of_a_users_own_counts(tmp_path):
    text = """
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section

KIND = ModelKind(settings=Section, network="own_network:Network")
"""
    (tmp_path / "own_kind.py").write_text(text)
    hashes = set()
    for number in range(2):
        (tmp_path / "own_network.py").write_text("import own_part\n\nclass Network:\n    part = own_part.PART\n")
        (tmp_path / "own_part.py").write_text(f"PART = {number}\n")
        code = f"from skyloom.settings import kinds; kinds.extend([{str(tmp_path)!r}]);"
        code += "from skyloom.training.results import code_of; print(code_of({'kind': 'own_kind'}))"
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": str(LIBRARY)}, check=True, capture_output=True, text=True
        )
        hashes.add(done.stdout)
    assert len(hashes) == 2
