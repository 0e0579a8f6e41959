"""Locks of folders between processes; they end with their process, even if it is killed.

Where the system or the file system has no locks, work goes on without: the locks here prevent
mistakes, and it is SQLite's own that keep a cache whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_S = 0.1
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
CANNOT_MAKE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOSPC, errno.EDQUOT)
NETWORK_TYPES = frozenset(
    (
        *("nfs", "nfs3", "nfs4", "lustre", "cifs", "smb2", "smb3", "smbfs", "beegfs", "gpfs"),
        *("ceph", "afs", "panfs", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.ceph"),
    )
)


class BusyError(Exception):
    """Another process holds the lock."""


class Lock:
    """A lock on a file, held until it is released or the process ends.

    Args:
        path: of the file, which is made.
        shared: whether others can hold it at the same time, if theirs is shared as well.
        keeps_file: whether the file stays when the lock is released.

    Raises:
        BusyError: another process, or another lock of this one, holds it.
        OSError: the file is a link, or cannot be opened though the folder can be written.
    """

    def __init__(self, path: Path, *, shared: bool = False, keeps_file: bool = False) -> None:
        self._path, self._keeps_file = path, keeps_file or shared
        self._file: int | None = None
        while self._file is None:
            file = _opened(path)
            if file is None:  # a folder that cannot be written: nobody writes to it
                return
            try:
                _lock(file, shared)
            except BaseException:
                os.close(file)
                raise
            if _is_at(file, path):
                self._file = file
            else:  # whoever held it has removed it in the meantime
                os.close(file)

    def release(self) -> None:
        """Let others have it; releasing it again does nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        if not self._keeps_file:
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(file)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def patient_lock(path: Path, wait: Callable[[], object]) -> Lock:
    """A lock of one's own, once it can be had; `wait` is called if that takes a while."""
    has_said = False
    while True:
        try:
            return Lock(path)
        except BusyError:
            if not has_said:
                wait()
            has_said = True
            time.sleep(POLL_S)


def why_no_locks(folder: Path) -> str:
    """Why files in a folder cannot be locked as SQLite does it; empty if they can be.

    Raises:
        OSError: no file can be made in the folder.
    """
    with tempfile.TemporaryFile(dir=folder, prefix=".atlas-lock-") as file:
        if sys.platform == "win32":
            return ""
        try:  # nobody else knows this file, so that any answer but yes means that it never works
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def file_system(folder: Path) -> str:
    """The type of a folder's file system, such as `nfs4`; empty where it is not known."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        place = folder.resolve()
    except OSError:
        return ""
    found, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        if len(point.parts) >= found and (point == place or point in place.parents):
            found, kind = len(point.parts), fields[2]
    return kind


def is_shared_by_machines(folder: Path) -> bool:
    """Whether a folder is on a network file system, whose memory maps others do not see."""
    return file_system(folder) in NETWORK_TYPES


def _opened(path: Path) -> int | None:
    """The lock's file; None if it cannot be made because the folder cannot be written."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | NO_FOLLOW, 0o666)
        except OSError as error:
            if error.errno not in CANNOT_MAKE:
                raise
    return None


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def _lock(file: int, shared: bool) -> None:
    if sys.platform == "win32":
        if shared:  # Windows itself refuses to remove files that are open
            return
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BusyError from error
    else:
        operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError from error
        except OSError:  # no locks here
            return
