"""All at once: the preset of an archive, the mock survey behind it on the loopback, through Slurm, every rule in a
conda environment, in a folder that two Unix users share. Asked for by SKYLOOM_EVERYTHING=1, since it takes long.

It needs root, ``tests/cluster/slurm.sh up`` and the stand-in for conda (see tests/end_to_end/test_conda.py), which
builds the environments by pip. Downloads are made where Snakemake runs, everything else but what is tiny by Slurm.
"""

import ast
import grp
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
import yaml

from tests.archive import Archive, serving
from tests.cluster.slurm_queue import is_up
from tests.cluster.test_slurm import as_an_administrator_would
from tests.end_to_end.conftest import copy_project, run, snakemake
from tests.end_to_end.mock_archive import Sky, addresses, bases, of_desi, of_provabgs
from tests.end_to_end.test_archives import tokens
from tests.end_to_end.test_conda import STAND_IN
from tests.end_to_end.test_shared import reached_by_others
from tests.paths import ROOT

CAN = os.geteuid() == 0 and (STAND_IN / "conda").exists() and is_up()
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        not os.environ.get("SKYLOOM_EVERYTHING") or not CAN,
        reason="needs SKYLOOM_EVERYTHING=1, root, a Slurm of tests/cluster/slurm.sh and the stand-in for conda",
    ),
]
GROUP, FIRST, SECOND = "skyloom-test", "skyloom-first", "skyloom-second"
CONFIG = ("--configfile", "tiny.yaml", str(ROOT / "resources/presets/desi_legacy.yaml"), "base.yaml")


@pytest.fixture
def users() -> Iterator[None]:
    """Two users of the system with a group of their own each, and one group of both."""
    subprocess.run(["groupadd", "--force", GROUP], check=True)
    for user in (FIRST, SECOND):
        subprocess.run(["useradd", "--create-home", "--groups", GROUP, user], check=True)
    yield
    for user in (FIRST, SECOND):
        subprocess.run(["userdel", "--remove", user], check=False, capture_output=True)
    subprocess.run(["groupdel", GROUP], check=False)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach, with a Python of the packages of this one."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        if not any(reached_by_others(python, folder) for python in (sys.executable, f"/usr/bin/{version}")):
            pytest.skip(f"other users can reach neither {sys.executable} nor /usr/bin/{version}")
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mock(tmp_path_factory) -> Path:
    """A folder with a tiny mock survey: its raw files are the archive's."""
    folder = copy_project(tmp_path_factory.mktemp("everything") / "skyloom")
    targets = [f"results/mock/{name}" for name in ("tokens/spectrum/statistics.json", "raw/manifest.csv")]
    done = run(folder, *targets, "--configfile", "tiny.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def archive(mock, tmp_path) -> Iterator[Archive]:
    raw = mock / "results/mock/raw"
    with serving(
        Archive({**of_desi(raw, "edr", "sv3/bright", tmp_path), **of_provabgs(raw, tmp_path)}, Sky(raw))
    ) as made:
        yield made


def shared(place: Path, archive: Archive) -> Path:
    """The project in a folder of the group, as the first user would make it for both: ``chmod g+ws``."""
    folder = copy_project(place / "skyloom")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    as_an_administrator_would(folder, jobs=8, **{"software-deployment-method": "conda"})
    given = {"addresses": addresses(archive.url), "access": {"cutout_interval": 0.0}}
    given["provabgs_bases"] = bases(folder / "bases")
    (folder / "base.yaml").write_text(yaml.safe_dump({"surveys": {"desi": given}}))
    shutil.copy(CONFIG[2], folder / "preset.yaml")  # the project itself need not be open to others
    group = grp.getgrnam(GROUP).gr_gid
    for path in (folder, *folder.rglob("*")):
        os.chown(path, pwd.getpwnam(FIRST).pw_uid, group, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))
    return folder


def settings_of_pip() -> dict[str, str]:
    """Where this user's pip looks for packages, as variables for those of another user."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    pairs = [line.split("=", 1) for line in said.stdout.splitlines()]
    return {f"PIP_{name.split('.')[-1].replace('-', '_').upper()}": ast.literal_eval(value) for name, value in pairs}


def started_by(user: str, folder: Path, *targets: str) -> str:
    """What a run by a user says, with the umask of most systems; it must end well."""
    entry = pwd.getpwnam(user)
    path = [STAND_IN, folder.parent / "python/bin", *os.environ["PATH"].split(os.pathsep)]
    environment = {
        **settings_of_pip(),
        **{name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")},
        **{"PATH": os.pathsep.join(map(str, path)), "HOME": entry.pw_dir, "USER": user, "LOGNAME": user},
    }
    configured = [name if name != CONFIG[2] else "preset.yaml" for name in CONFIG]
    arguments = snakemake(folder, *targets, "--profile", "slurm", *configured)[1:]
    log = folder.parent / f"{user}.log"
    with open(log, "w") as file:
        done = subprocess.run(
            [folder.parent / "python/bin/python", *arguments], cwd=folder, stdout=file, stderr=file, env=environment,
            umask=0o022, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[grp.getgrnam(GROUP).gr_gid],
        )  # fmt: skip
    said = log.read_text()
    assert done.returncode == 0, said[-5000:]
    return said


def test_a_preset_ends_in_a_report_through_slurm_with_conda_in_a_folder_of_two_users(users, mock, archive, place):
    folder = shared(place, archive)
    first = started_by(FIRST, folder, "results/desi/models/specformer/model.safetensors")
    second = started_by(SECOND, folder)
    assert "Nothing to be done" in started_by(FIRST, folder)
    # what is in the report is of the archive's galaxies
    assert "DESI" in (folder / "results/desi/report.html").read_text()
    galaxies = pandas.read_parquet(folder / "results/desi/catalog/galaxies.parquet")
    spectra, own = tokens(mock, "mock"), tokens(folder, "desi")
    common = set(spectra) & set(own)
    assert len(galaxies) > 150 and len(common) > 150 and all(np.array_equal(spectra[t], own[t]) for t in common)
    # downloads were made here, trainings and tiles of the sky by Slurm, in environments
    submitted = {path.name.removeprefix("rule_") for path in (folder / ".snakemake/slurm_logs").iterdir()}
    assert {"pretrain", "align", "embed", "tokenize_spectra", "tokenize_images", "crossmatch", "regress"} <= submitted
    assert not {name for name in submitted if name.startswith(("download", "fetch", "list"))}
    assert archive.seen and "Submitted array job" in first + second
    environments = {path.name for path in (folder / ".snakemake/conda").iterdir() if path.is_dir()}
    logs = [path.read_text() for path in (folder / ".snakemake/slurm_logs").rglob("*.log")]
    used = {name for name in environments for text in logs if f".snakemake/conda/{name}" in text}
    assert len(used) >= 3
    # everything is the group's, whoever made it and whatever the umask
    made = [path for path in (folder / "results").rglob("*") if not path.is_symlink()]
    assert {path.group() for path in made} == {GROUP} and {path.owner() for path in made} == {FIRST, SECOND}
    assert all(path.stat().st_mode & 0o060 == 0o060 for path in made)
