"""One folder of results, several people: who may write where, and what to say to who may not."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from skyloom.core.errors import SkyloomError

LEFT_OUT = {"conda", "conda-archive", "singularity"}  # of Snakemake's folder: environments, large, and only read


def share_with_group(state: str | os.PathLike, folder: str | os.PathLike = ".") -> None:
    """Let the group write what this process and its children make, if `folder` is a shared one.

    That is a folder that its group may write and whose files get its group (setgid), as ``chmod g+ws`` makes it: a
    umask of 022, the default of most systems, would lock everybody else out of the first user's results. Snakemake has
    begun its folder `state` by now: what of it is this user's is opened.
    """
    mode = os.stat(folder).st_mode
    if mode & stat.S_ISGID and mode & stat.S_IWGRP:
        before = os.umask(0)
        os.umask(before & ~stat.S_IRWXG)
        for path in notes(state):
            if path.exists() and os.stat(path).st_uid == os.geteuid():
                path.chmod(stat.S_IMODE(os.stat(path).st_mode) | stat.S_IWGRP)


def notes(state: str | os.PathLike) -> Iterator[Path]:
    """What a run writes in Snakemake's folder `state`: the folders there, and the files at their top."""
    state = Path(state)
    yield state
    if os.access(state, os.R_OK | os.X_OK):
        for path in sorted(state.iterdir()):
            if path.name not in LEFT_OUT:
                yield path


def closed(paths: Iterable[str | os.PathLike]) -> Path | None:
    """The first of the places where this user cannot write; None when all are open.

    A place is a file to be written anew, which may exist (then it and its folder must be open) or not (then the first
    folder above it that exists).
    """
    seen: dict[Path, bool] = {}
    for path in map(Path, paths):
        if os.path.lexists(path) and not os.access(path, os.W_OK):
            return path
        folder = path if path.is_dir() else path.parent
        while not folder.exists():
            folder = folder.parent
        if folder not in seen:
            seen[folder] = os.access(folder, os.W_OK | os.X_OK)
        if not seen[folder]:
            return folder
    return None


def refuse_if_closed(paths: Iterable[str | os.PathLike]) -> None:
    """Raise SkyloomError with one line for the first place that this user cannot write: whose it is, what helps."""
    path = closed(paths)
    if path is None:
        return
    found = os.stat(path)
    owner, group = name_of(found.st_uid, pwd.getpwuid), name_of(found.st_gid, grp.getgrgid)
    user, group_too = name_of(os.geteuid(), pwd.getpwuid), found.st_gid not in {os.getegid(), *os.getgroups()}
    remedy = "chgrp -R YOUR_COMMON_GROUP . && chmod -R g+rwX ." if group_too else "chmod -R g+rwX ."
    raise SkyloomError(
        f"{path} belongs to {owner} (group {group}, {stat.filemode(found.st_mode)}): {user} cannot write there; "
        f"{owner} opens it by `{remedy}` in this folder, and keeps it open by `chmod g+s .` or umask 002"
    )


def name_of(number: int, look_up) -> str:
    """The name of a user or group, or its number where it has none."""
    try:
        return look_up(number)[0]
    except KeyError:
        return str(number)
