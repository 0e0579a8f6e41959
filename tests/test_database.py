"""The cache on odd file systems: it works there, or says at once why it does not."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_cache import batch

import atlas.database
import atlas.locks
from atlas.cache import FILE_NAME, Cache
from atlas.errors import CacheError

ROOT = Path(__file__).parents[1]
IN_SECONDS = 10
# Functions of the C library as a file system without locks, or without shared memory, has them.
WITHOUT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_mapped_log(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    if (n < 4) return 0;
    path[n] = 0;
    return strcmp(path + n - 4, "-shm") == 0;
}
#ifdef NO_LOCKS
static int locked(int fd, int command, void *argument) {
    static int (*real)(int, int, ...);
    if (command == F_SETLK || command == F_SETLKW || command == F_GETLK) {
        errno = ENOLCK;
        return -1;
    }
    if (!real) real = dlsym(RTLD_NEXT, "fcntl64");
    return real(fd, command, argument);
}
int fcntl(int fd, int command, ...) {
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
    return locked(fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
    return locked(fd, command, argument);
}
int flock(int fd, int operation) { errno = ENOLCK; return -1; }
#endif
#ifdef NO_SHARED_MEMORY
static void *mapped(void *at, size_t n, int how, int flags, int fd, off_t offset) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (fd >= 0 && is_mapped_log(fd)) { errno = ENODEV; return MAP_FAILED; }
    if (!real) real = dlsym(RTLD_NEXT, "mmap64");
    return real(at, n, how, flags, fd, offset);
}
void *mmap(void *at, size_t n, int how, int flags, int fd, off_t offset) {
    return mapped(at, n, how, flags, fd, offset);
}
void *mmap64(void *at, size_t n, int how, int flags, int fd, off_t offset) {
    return mapped(at, n, how, flags, fd, offset);
}
#endif
"""
DEMO = ("--demo", "--preset", "preview", "--layers", "conv1", "--units", "0-1", "--kinds", "filter")


@pytest.fixture(params=["wal", "new"])
def folder(request, tmp_path) -> Path:
    """Of a cache that was made elsewhere, in write-ahead mode, or of none."""
    if request.param == "wal":
        with Cache(tmp_path) as cache:
            cache.put(batch(0))
    return tmp_path


def through(monkeypatch: pytest.MonkeyPatch, vfs: str) -> None:
    """Let SQLite use files in another way."""
    connect = sqlite3.connect

    def connect_through(path: Path, **options: object) -> sqlite3.Connection:
        return connect(f"file:{path}?vfs={vfs}", uri=True, **options)

    monkeypatch.setattr(atlas.database.sqlite3, "connect", connect_through)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other ways")
@pytest.mark.parametrize("vfs", ["unix-none", "unix-dotfile"])
def test_without_shared_memory_a_plain_journal_is_used(folder, monkeypatch, vfs):
    through(monkeypatch, vfs)
    begun = time.monotonic()
    for number in range(2):
        with Cache(folder) as cache:
            cache.put(batch(number))
            assert cache._database.db.execute("pragma journal_mode").fetchone() == ("truncate",)
    with Cache(folder) as cache:
        assert {one.key for number in range(2) for one in batch(number)} == cache.keys()
    assert time.monotonic() - begun < IN_SECONDS
    monkeypatch.undo()
    with Cache(folder) as cache:  # back on a disk with everything
        assert len(cache.keys()) == 32 and not cache.damaged()
        assert cache._database.db.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_file_system_of_several_machines_gets_a_plain_journal(folder, monkeypatch):
    monkeypatch.setattr(atlas.locks, "file_system", lambda folder: "nfs4")
    with Cache(folder) as one, Cache(folder) as other:
        one.put(batch(1))
        other.put(batch(2))
        assert one.keys() == other.keys()
        assert one._database.db.execute("pragma journal_mode").fetchone() == ("truncate",)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EAGAIN, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_at_once(folder, monkeypatch, number):
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    monkeypatch.setattr(atlas.database, "file_system", lambda folder: "lustre")
    begun = time.monotonic()
    with pytest.raises(CacheError, match=r"file system \(lustre\) has no file locks .*local disk"):
        Cache(folder)
    assert time.monotonic() - begun < IN_SECONDS


@pytest.mark.skipif(not shutil.which("cc") or sys.platform != "linux", reason="no C compiler")
@pytest.mark.parametrize("lacks", ["NO_LOCKS", "NO_SHARED_MEMORY"])
def test_a_build_where_the_system_itself_has_none(folder, tmp_path_factory, lacks):
    made = tmp_path_factory.mktemp("library")
    (made / "without.c").write_text(WITHOUT)
    compiled = ["cc", "-shared", "-fPIC", f"-D{lacks}", "-o", made / "x.so", made / "without.c"]
    subprocess.run([*compiled, "-ldl"], check=True, capture_output=True)
    places = ("--cache", folder, "--out", made / "site")
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, ROOT / "build.py", *DEMO, *places],
        env={**os.environ, "LD_PRELOAD": str(made / "x.so")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert time.monotonic() - begun < 60
    assert "Traceback" not in done.stderr
    if lacks == "NO_LOCKS":
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "has no file locks (No locks available); give a folder on a local disk" in line
    else:
        assert done.returncode == 0, done.stderr
        with Cache(folder) as cache:
            assert len(cache.of_kind("filter")) == 2 and not cache.damaged()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "your quota is used up"),
        (errno.EROFS, "read-only file system"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "give a folder that can be written"),
        (errno.EIO, "has failed"),
    ],
    ids=errno.errorcode.get,
)
def test_the_remedy_is_true(tmp_path, monkeypatch, number, words):
    def fail(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    with Cache(tmp_path) as cache:
        monkeypatch.setattr(atlas.database.tempfile, "TemporaryFile", fail)
        for error in (sqlite3.OperationalError("disk I/O error"), OSError(number, "x")):
            said = str(cache._database._explained(error))
            assert words in said and "--cache" in said and "\n" not in said
        if number != errno.EACCES:
            assert "can be written" not in said
        with pytest.raises(CacheError, match=words):
            Cache(tmp_path / "another")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_too_many_open_files_are_one_line_that_is_true(tmp_path):
    with Cache(tmp_path / "cache") as cache:
        cache.put(batch(0))
    program = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from atlas.cache import Cache
from atlas.errors import CacheError
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
import sqlite3, tempfile
tempfile.TemporaryFile(dir={str(tmp_path)!r}).close()  # imports all that it needs
taken = []
try:
    while True:
        taken.append(open("/dev/null"))
except OSError:
    pass
for _ in range(5):
    try:
        with Cache(Path({str(tmp_path / "cache")!r})) as cache:
            cache.put([])
        print("works")
    except CacheError as error:
        print(error)
    taken.pop().close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0 and said[-1] == "works", done.stderr
    refused = [line for line in said if line != "works"]
    assert len(refused) >= 2
    assert all("ulimit -n" in line and "can be written" not in line for line in refused), refused
    with Cache(tmp_path / "cache") as cache:
        assert len(cache.keys()) == 16


def test_the_file_system_of_a_folder_is_known(tmp_path):
    if sys.platform == "linux":
        assert atlas.locks.file_system(tmp_path)
        assert atlas.locks.file_system(Path("/proc")) == "proc"
    assert (tmp_path / FILE_NAME).exists() is False
