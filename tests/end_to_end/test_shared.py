"""One folder, several Unix users: to look at without write access, to work in together; tried with real users."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.end_to_end.conftest import snakemake
from tests.end_to_end.small import project

FIRST, SECOND, GROUP, STRANGER = 61001, 61002, 61000, 61009
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
ALL = ["results/joined.txt", "results/parts/a.txt", "results/parts/b.txt"]


def as_user(folder: Path, user: int, group: int, *arguments: str) -> subprocess.CompletedProcess:
    """Run the workflow as a Unix user without privileges, with the umask of most systems.

    The user's own group is `group`, and every user but the stranger belongs to that of both.
    """
    home = folder.parent / f"home-{user}"
    home.mkdir(exist_ok=True)
    os.chown(home, user, group)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "USER": str(user), "OMP_NUM_THREADS": "1"}
    command = [str(folder.parent / "python/bin/python"), *snakemake(folder, "--cores", "1", *arguments)[1:]]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, env=environment, umask=0o022,
        user=user, group=group, extra_groups=[] if user == STRANGER else [GROUP],
    )  # fmt: skip


@pytest.fixture
def place():
    """A folder that every user can reach (those of pytest are root's alone), with a Python of the same packages."""
    if os.geteuid() != 0:
        pytest.skip("only root can run as other users")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        if not any(reached_by_others(python, folder) for python in (sys.executable, f"/usr/bin/{VERSION}")):
            pytest.skip(f"other users can reach neither {sys.executable} nor /usr/bin/{VERSION}")
        yield folder
    finally:
        shutil.rmtree(folder)


def reached_by_others(python: str, folder: Path) -> bool:
    """Make ``folder/python`` of an interpreter; False when there is none, or when it works for root alone."""
    made = subprocess.run([python, "-m", "venv", "--without-pip", folder / "python"]) if Path(python).exists() else None
    if made is None or made.returncode:
        return False
    packages = folder / "python/lib" / VERSION / "site-packages"
    (packages / "same.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    command = [folder / "python/bin/python", "-c", "import snakemake"]
    reached = {"user": STRANGER, "group": STRANGER, "extra_groups": [], "cwd": folder, "env": {"HOME": str(folder)}}
    try:
        done = subprocess.run(command, capture_output=True, **reached).returncode == 0
    except PermissionError:
        done = False
    if not done:
        shutil.rmtree(folder / "python")
    return done


def of_first(place: Path, mode: int) -> Path:
    """The workflow in a folder of the first user with this mode, and of the group of both."""
    folder = project(place / "project")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, FIRST, GROUP)
    folder.chmod(mode)
    return folder


def made(folder: Path, *run) -> list[str]:
    """What a run of a user makes; it must succeed."""
    (folder / "ran.txt").unlink(missing_ok=True)
    done = as_user(folder, *run)
    assert done.returncode == 0, done.stderr[-3000:]
    found = folder / "ran.txt"
    return sorted(found.read_text().split()) if found.exists() else []


def state(folder: Path) -> dict[str, tuple]:
    """Every file with its time and size."""
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_a_colleague_without_write_access_can_dry_run_and_read(place):
    folder = of_first(place, 0o755)
    assert made(folder, FIRST, GROUP) == ALL
    before = state(folder)
    again = as_user(folder, STRANGER, STRANGER, "-n")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
    other = as_user(folder, STRANGER, STRANGER, "-n", "--config", "seed=2")
    assert other.returncode == 0, other.stderr
    assert "seed was 1, is 2" in other.stderr and "Traceback" not in other.stderr
    idle = as_user(folder, STRANGER, STRANGER)
    assert idle.returncode == 0 and "Nothing to be done" in idle.stdout + idle.stderr
    assert state(folder) == before
    assert all(path.stat().st_mode & 0o004 for path in folder.rglob("results/**/*.txt"))


def test_a_run_without_write_access_is_one_clear_line(place):
    folder = of_first(place, 0o755)
    made(folder, FIRST, GROUP)
    before = state(folder)
    refused = as_user(folder, STRANGER, STRANGER, "--config", "seed=2")
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    line = next(line for line in refused.stderr.splitlines() if "cannot write there" in line)
    assert f"belongs to {FIRST} (group {GROUP}, drwxr-xr-x): {STRANGER} cannot write there" in line
    assert "chgrp -R YOUR_COMMON_GROUP . && chmod -R g+rwX ." in line
    assert state(folder) == before


def test_the_first_run_in_a_folder_that_is_closed_is_one_clear_line(place):
    folder = of_first(place, 0o755)
    plan = as_user(folder, STRANGER, STRANGER, "-n")
    assert plan.returncode == 0 and "joined" in plan.stdout + plan.stderr
    refused = as_user(folder, STRANGER, STRANGER)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr and "cannot write there" in refused.stderr


def test_two_users_work_in_a_folder_of_their_group_whatever_their_umask(place):
    folder = of_first(place, 0o2775)
    assert made(folder, FIRST, FIRST) == ALL
    assert made(folder, SECOND, SECOND, "--config", "seed=2") == ALL
    assert made(folder, FIRST, FIRST, "--config", "seed=3") == ALL
    assert made(folder, SECOND, SECOND, "--config", "seed=3") == []


def test_what_a_first_user_closed_by_umask_022_is_one_line_and_opened_by_its_remedy(place):
    folder = of_first(place, 0o775)
    assert made(folder, FIRST, GROUP) == ALL
    refused = as_user(folder, SECOND, GROUP, "--config", "seed=2")
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    line = next(line for line in refused.stderr.splitlines() if "cannot write there" in line)
    assert f"belongs to {FIRST}" in line and "`chmod -R g+rwX .`" in line and "umask 002" in line
    assert (folder / "results/joined.txt").read_text().endswith("joined")
    subprocess.run(["chmod", "-R", "g+rwX", "."], cwd=folder, user=FIRST, group=GROUP, extra_groups=[], check=True)
    assert made(folder, SECOND, GROUP, "--config", "seed=2") == ALL


def test_times_decide_nothing_where_another_user_alone_may_set_them(place):
    folder = of_first(place, 0o2775)
    assert made(folder, FIRST, GROUP) == ALL
    for age, pattern in enumerate(("raw/*", "results/parts/*", "results/*.txt", "results/benchmarks/*")):
        for path in folder.glob(pattern):
            os.utime(path, (1e9 - 100 * age, 1e9 - 100 * age))
    assert made(folder, SECOND, GROUP) == []
