"""Who may write where: modes of shared folders, and the line for who may not; real users: end_to_end/test_shared."""

import os
import stat

import pytest

from skyloom.core import sharing
from skyloom.core.errors import SkyloomError


@pytest.fixture
def umask():
    """The umask of most systems, put back afterwards."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("mode, made", [(0o2775, 0o664), (0o775, 0o644), (0o2755, 0o644), (0o755, 0o644)])
def test_files_in_a_folder_that_is_shared_by_setgid_are_open_to_the_group_and_others_as_the_umask_says(
    tmp_path, umask, mode, made
):
    tmp_path.chmod(mode)
    state = tmp_path / ".snakemake"
    state.mkdir()
    sharing.share_with_group(state, tmp_path)
    (tmp_path / "new").write_text("")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == made
    assert bool(state.stat().st_mode & stat.S_IWGRP) == (made == 0o664)


@pytest.fixture
def closed_folder(tmp_path, monkeypatch):
    """A folder, and a file in an open one, that this user may not write (root may: it is only said)."""
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
    (tmp_path / "open" / "locked").write_text("")
    refused = {tmp_path / "shut", tmp_path / "open" / "locked"}
    monkeypatch.setattr(sharing.os, "access", lambda path, mode: path not in refused)
    return tmp_path


def test_the_first_closed_place_is_found_also_for_files_that_are_not_there_yet(closed_folder):
    assert sharing.closed([closed_folder / "open/new", closed_folder / "open/deep/er/new"]) is None
    assert sharing.closed([closed_folder / "open/new", closed_folder / "shut/deep/er/new"]) == closed_folder / "shut"
    assert sharing.closed([closed_folder / "open/locked"]) == closed_folder / "open/locked"


def test_the_line_names_place_owner_mode_user_and_remedy(closed_folder, monkeypatch):
    monkeypatch.setattr(sharing.os, "geteuid", lambda: 61_234)
    (closed_folder / "shut").chmod(0o755)
    with pytest.raises(SkyloomError) as raised:
        sharing.refuse_if_closed([closed_folder / "shut/new"])
    line = str(raised.value)
    owner = sharing.name_of(os.stat(closed_folder / "shut").st_uid, sharing.pwd.getpwuid)
    assert line.startswith(f"{closed_folder / 'shut'} belongs to {owner} (group ") and "\n" not in line
    assert "drwxr-xr-x): 61234 cannot write there" in line and "chmod -R g+rwX ." in line
    sharing.refuse_if_closed([closed_folder / "open/new"])


def test_environments_are_not_among_what_a_run_writes(tmp_path):
    for name in ("conda", "log", "metadata"):
        (tmp_path / name).mkdir()
    assert list(sharing.notes(tmp_path)) == [tmp_path, tmp_path / "log", tmp_path / "metadata"]
    assert list(sharing.notes(tmp_path / "missing")) == [tmp_path / "missing"]
