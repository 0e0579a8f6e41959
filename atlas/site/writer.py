"""Write the site, and only what changed of it.

Every output has a digest of what it depends on. One whose digest and size are as recorded is not
even produced; one that is produced but comes out the same keeps its file. What is about to change
is marked in the record first, so that a build that is killed at any instant can be taken up.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import SiteError
from atlas.site import record
from atlas.site.outputs import Output, plan_outputs
from atlas.site.record import Made
from atlas.site.templates import Templates
from atlas.site.views import Contents, site_of

Progress = Callable[[int, int], None]

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES_DIR = ROOT / "templates"
STATIC_DIR = ROOT / "static"
GENERATOR = b'name="generator" content="network-atlas"'
BATCH = 32  # outputs per task: large enough that handing them over costs nothing


@dataclass(frozen=True)
class SiteReport:
    """What a build of the site did."""

    n_pages: int
    n_files: int  # without the build record
    n_bytes: int
    n_written: int
    n_unchanged: int
    n_removed: int
    seconds: float


@dataclass(frozen=True)
class Changes:
    """What there is to do, decided from the plan, the record and what is on the disk."""

    stale: tuple[Output, ...]
    kept: dict[str, Made]
    removed: tuple[str, ...]  # recorded once, no longer part of the site, still there
    forgotten: bool  # the record names files that are gone


def quiet(done: int, total: int) -> None:
    """Show no progress."""


def write_site(
    contents: Contents,
    out_dir: Path,
    *,
    progress: Progress = quiet,
    templates_dir: Path = TEMPLATES_DIR,
    static_dir: Path = STATIC_DIR,
) -> SiteReport:
    """Bring the site in `out_dir` up to date with `contents`.

    Files that are not the atlas's own are left alone.

    Args:
        contents: what to show.
        out_dir: made if missing.
        progress: told the number of files done and in all, from this thread.
        templates_dir: the pages' templates.
        static_dir: style sheet, scripts and favicon.

    Raises:
        SiteError: the folder cannot be written, is full, holds someone else's site, or a
            picture cannot be read.
    """
    started = time.perf_counter()
    templates = Templates(templates_dir, static_dir, site_of(contents))
    outputs = plan_outputs(contents, templates, static_dir)
    try:
        _prepare(out_dir)
        recorded = record.load(out_dir)
        sizes = record.sizes(out_dir, {*recorded, *(output.path for output in outputs)})
        _refuse_foreign(out_dir, recorded, sizes)
        changes = decide(outputs, recorded, sizes)
        made, n_written = _apply(changes, out_dir, contents.read, progress)
        _remove_parts(out_dir, sizes)
    except OSError as error:
        raise _explain(out_dir, error) from error
    return SiteReport(
        n_pages=sum(path.endswith(".html") for path in made),
        n_files=len(made),
        n_bytes=sum(file.n_bytes for file in made.values()),
        n_written=n_written,
        n_unchanged=len(made) - n_written,
        n_removed=len(changes.removed),
        seconds=time.perf_counter() - started,
    )


def prepare_folder(out_dir: Path) -> None:
    """Make the site's folder, so that one that cannot hold a site is found before any work.

    Raises:
        SiteError: it cannot be written, or holds someone else's site.
    """
    try:
        _prepare(out_dir)
        _refuse_foreign(out_dir, record.load(out_dir), record.sizes(out_dir, ["index.html"]))
        tempfile.TemporaryFile(dir=out_dir).close()
    except OSError as error:
        raise _explain(out_dir, error) from error


def remove_site(out_dir: Path) -> int:
    """Remove what earlier builds wrote to a folder, nothing else; returns how many files.

    Raises:
        SiteError: a file cannot be removed.
    """
    made = record.load(out_dir)
    there = record.sizes(out_dir, made)
    try:
        _remove(out_dir, [path for path in made if path in there])
        (out_dir / record.FILE_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise _explain(out_dir, error) from error
    return len(there.keys() & made.keys())


def decide(outputs: Sequence[Output], recorded: dict[str, Made], sizes: dict[str, int]) -> Changes:
    """Which outputs must be made anew, which stay, and which files have had their day."""
    stale = []
    kept = {}
    for output in outputs:
        made = recorded.get(output.path)
        if made and made == Made(output.digest, sizes.get(output.path, -1)):
            kept[output.path] = made
        else:
            stale.append(output)
    expected = {output.path for output in outputs}
    obsolete = [path for path in recorded if path not in expected]
    return Changes(
        stale=tuple(stale),
        kept=kept,
        removed=tuple(path for path in obsolete if path in sizes),
        forgotten=bool(obsolete),
    )


def _apply(
    changes: Changes, out_dir: Path, read: Callable[[str], bytes], progress: Progress
) -> tuple[dict[str, Made], int]:
    """Make what is stale and remove what is obsolete; return the new record and the writes."""
    if not changes.stale and not changes.forgotten:
        return changes.kept, 0
    unsure = [*(output.path for output in changes.stale), *changes.removed]
    record.save(out_dir, changes.kept | {path: Made("", 0) for path in unsure})
    for folder in sorted({(out_dir / output.path).parent for output in changes.stale}):
        folder.mkdir(parents=True, exist_ok=True)
    made = dict(changes.kept)
    n_written = 0
    total = len(made) + len(changes.stale)
    for output, n_bytes, written in _make_all(changes.stale, out_dir, read):
        made[output.path] = Made(output.digest, n_bytes)
        n_written += written
        progress(len(made), total)
    _remove(out_dir, changes.removed)
    record.save(out_dir, made)
    return made, n_written


def _make_all(
    stale: Sequence[Output], out_dir: Path, read: Callable[[str], bytes]
) -> Iterator[tuple[Output, int, bool]]:
    """Make outputs on all cores, in order: read here, produced and written by workers.

    Yields:
        The output, its size in bytes, and whether its file was written.
    """
    shelf = _Shelf(stale, read)
    n_workers = os.cpu_count() or 1
    pending: deque[Future[list[tuple[Output, int, bool]]]] = deque()
    with ThreadPoolExecutor(n_workers) as workers:
        try:
            for start in range(0, len(stale), BATCH):
                batch = [(output, shelf.take(output)) for output in stale[start : start + BATCH]]
                pending.append(workers.submit(_make_batch, batch, out_dir))
                if len(pending) > 2 * n_workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class _Shelf:
    """Reads every artifact once and keeps it until the last output that needs it has it."""

    def __init__(self, outputs: Iterable[Output], read: Callable[[str], bytes]) -> None:
        self._read = read
        self._uses = Counter(key for output in outputs for key in output.artifacts)
        self._kept: dict[str, bytes] = {}

    def take(self, output: Output) -> list[bytes]:
        return [self._take(key) for key in output.artifacts]

    def _take(self, key: str) -> bytes:
        data = self._kept.pop(key, None) or self._read(key)
        self._uses[key] -= 1
        if self._uses[key]:
            self._kept[key] = data
        return data


def _make_batch(
    batch: Sequence[tuple[Output, Sequence[bytes]]], out_dir: Path
) -> list[tuple[Output, int, bool]]:
    return [_make(output, data, out_dir / output.path) for output, data in batch]


def _make(output: Output, data: Sequence[bytes], path: Path) -> tuple[Output, int, bool]:
    try:
        produced = output.produce(data)
    except OSError as error:  # Pillow's word for bytes that are no picture
        raise SiteError(
            f"a picture for {output.path} cannot be read: {error}; "
            "remove damaged pictures with `python build.py clean damaged`, then build again"
        ) from error
    same = path.is_file() and path.stat().st_size == len(produced) and path.read_bytes() == produced
    if not same:
        record.write_whole(path, produced)
    return output, len(produced), not same


def _prepare(out_dir: Path) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise SiteError(f"{out_dir} is a file; give a folder for the site with --out")
    if _holds_program(out_dir.resolve()):
        raise SiteError(f"{out_dir} holds the program itself; give another folder with --out")
    out_dir.mkdir(parents=True, exist_ok=True)


def _holds_program(folder: Path) -> bool:
    inside = (ROOT / "atlas", TEMPLATES_DIR, STATIC_DIR)
    return folder in (ROOT, *ROOT.parents) or any(
        folder == own or own in folder.parents for own in inside
    )


def _refuse_foreign(out_dir: Path, recorded: dict[str, Made], sizes: dict[str, int]) -> None:
    """Another site's front page would be lost; everything else there is left alone."""
    if recorded or "index.html" not in sizes:
        return
    if GENERATOR not in (out_dir / "index.html").read_bytes():
        raise SiteError(
            f"{out_dir} has an index.html that is not an atlas; "
            "give an empty folder with --out, or move that file away"
        )


def _remove(out_dir: Path, paths: Iterable[str]) -> None:
    folders: set[Path] = set()
    for path in paths:
        (out_dir / path).unlink(missing_ok=True)
        folders.update((out_dir / path).parents)
    for folder in sorted(folders, reverse=True):
        inside = out_dir in folder.parents
        if inside and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _remove_parts(out_dir: Path, sizes: Iterable[str]) -> None:
    """What a killed build was writing when it was killed."""
    for path in sizes:
        if path.rpartition("/")[2].startswith(record.PART_PREFIX):
            (out_dir / path).unlink(missing_ok=True)


def _explain(out_dir: Path, error: OSError) -> SiteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space, or give another folder with --out; then build again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "give a folder that can be written with --out"
    else:
        remedy = "mend that, or give another folder with --out"
    where = error.filename or out_dir
    return SiteError(f"cannot write {where}: {error.strerror or error}; {remedy}")
