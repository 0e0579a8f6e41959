"""Write the site, and only what changed of it.

Where all that the site is made from is as recorded, and all files are there, nothing else is looked
at. Otherwise every output has a digest of what it depends on: one whose digest and size are as
recorded is not even produced; one that is produced but comes out the same keeps its file. What is
about to change is marked in the record first, so that a build that is killed at any instant can be
taken up.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from atlas import paths
from atlas.errors import SiteError, remedy_for
from atlas.heap import no_garbage_collection
from atlas.kinds.kind import Kind
from atlas.paths import INDEX
from atlas.site import guard, record
from atlas.site.budget import Part, parts_of
from atlas.site.contents import Contents
from atlas.site.maker import Maker
from atlas.site.outputs import Output, plan_outputs
from atlas.site.parts import site_of
from atlas.site.record import Made, Record
from atlas.site.resources import PACKAGE_DIR, STATIC_DIR, TEMPLATES_DIR, holds_program
from atlas.site.templates import Templates

ShowProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class SiteReport:
    """What a build of the site did."""

    n_pages: int
    n_files: int  # without the build record
    n_bytes: int
    parts: tuple[Part, ...]
    n_written: int
    n_unchanged: int
    n_removed: int
    seconds: float


@dataclass(frozen=True)
class Changes:
    """What there is to do, decided from the plan, the record and what is on the disk."""

    stale: tuple[Output, ...]
    kept: Mapping[str, Made]
    removed: tuple[str, ...]  # recorded once, no longer part of the site, still there
    forgotten: bool  # the record names files that are gone


class Updated(NamedTuple):
    """What `update` did."""

    made: Mapping[str, Made]
    n_written: int
    n_removed: int


def quiet(done: int, total: int) -> None:
    """Show no progress."""


def write_site(
    contents: Contents,
    out_dir: Path,
    *,
    base_url: str = "",
    landing: str = "",
    progress: ShowProgress = quiet,
    templates_dir: Path = TEMPLATES_DIR,
    static_dir: Path = STATIC_DIR,
) -> SiteReport:
    """Bring the site in `out_dir` up to date with `contents`.

    Files that are not the atlas's own are left alone.

    Args:
        contents: what to show.
        out_dir: made if missing.
        base_url: where the site will be, for what other sites show of it; empty without.
        landing: path from the atlas to the landing page, if it is one of several in a site.
        progress: told the number of files done and in all, from this thread.
        templates_dir: the pages' templates.
        static_dir: style sheet, scripts and favicon.

    Raises:
        SiteError: the folder cannot be written, is full, holds files of someone else that would
            be overwritten, or a picture cannot be read.
        DamagedError: an artifact is damaged; it can be made again.
    """
    guard.refuse_unsafe(paths.layer_page(layer.name) for layer in contents.facts.layers)
    site = site_of(contents, base_url, landing)
    templates = Templates(templates_dir, static_dir, site, contents.kinds, contents.family_glossary)
    program = program_digest(templates, static_dir, contents.kinds)
    inputs = hashlib.blake2b((contents.digest + program).encode()).hexdigest()
    plan = partial(plan_outputs, contents, templates, static_dir, program)
    return write_outputs(out_dir, inputs, plan, contents.read, progress)


def write_outputs(
    out_dir: Path,
    inputs: str,
    plan: Callable[[], Sequence[Output]],
    read: Callable[[str], bytes],
    progress: ShowProgress = quiet,
) -> SiteReport:
    """Bring the files in `out_dir` up to date: what is no longer planned is removed.

    Args:
        out_dir: made if missing.
        inputs: a digest of everything that the files are made from.
        plan: returns all files; called only if `inputs` has changed or a file is missing.
        read: returns the bytes of an artifact.
        progress: told the number of files done and in all, from this thread.

    Raises:
        SiteError, DamagedError: as for `write_site`.
    """
    started = time.perf_counter()
    with alone(out_dir):
        guard.refuse_several(out_dir)
        made, n_written, n_removed = update(out_dir, inputs, plan, read, progress)
    return SiteReport(
        n_pages=sum(path.endswith(".html") for path in made),
        n_files=len(made),
        n_bytes=sum(file.n_bytes for file in made.values()),
        parts=parts_of({path: file.n_bytes for path, file in made.items()}),
        n_written=n_written,
        n_unchanged=len(made) - n_written,
        n_removed=n_removed,
        seconds=time.perf_counter() - started,
    )


@contextmanager
def alone(out_dir: Path) -> Iterator[None]:
    """The site's folder for one's own, made if missing.

    Raises:
        SiteError: it cannot be written, or what is done meanwhile cannot.
    """
    try:
        _prepare(out_dir)
        with guard.site_lock(out_dir):
            yield
    except OSError as error:
        raise _explain(out_dir, error) from error


def update(
    out_dir: Path,
    inputs: str,
    plan: Callable[[], Sequence[Output]],
    read: Callable[[str], bytes],
    progress: ShowProgress = quiet,
) -> Updated:
    """Write what is planned into a folder that one has for one's own, as far as it changed.

    Args:
        out_dir: the folder.
        inputs: a digest of all that is planned; nothing is, where it is as recorded.
        plan: gives the files that are to be there.
        read: an artifact's bytes.
        progress: as in `write_site`.

    Raises:
        SiteError: files of someone else would be overwritten, or a picture cannot be read.
    """
    recorded = record.load(out_dir)
    sizes = record.sizes(out_dir, {INDEX, *recorded.files})
    if recorded.inputs == inputs and _all_there(recorded, sizes):
        updated = Updated(recorded.files, 0, 0)
    else:
        with no_garbage_collection():
            outputs = plan()
            sizes |= record.sizes(out_dir, (output.path for output in outputs))
            unsure = _refuse(out_dir, outputs, recorded, sizes)
            changes = decide(outputs, recorded.files, sizes)
            maker = Maker(out_dir, sizes, read, unsure)
            made, n_written = _apply(changes, inputs, maker, unsure, progress)
        updated = Updated(made, n_written, len(changes.removed))
    _remove_parts(out_dir, sizes)
    return updated


def prepare_folder(out_dir: Path, layers: Iterable[str] = ()) -> None:
    """Make the site's folder, so that one that cannot hold a site is found before any work.

    Args:
        out_dir: the folder.
        layers: names of the layers, which have folders in it.

    Raises:
        SiteError: it cannot be written, or holds files of someone else that would be overwritten.
    """
    try:
        _prepare(out_dir)
        pages = [paths.layer_page(layer) for layer in layers]
        guard.refuse_unsafe(pages)
        guard.refuse_several(out_dir)
        guard.refuse_links(out_dir, layers)
        sizes = record.sizes(out_dir, [INDEX, *pages])
        ours = [path for path in sizes if paths.is_ours(path)]
        guard.refuse_foreign(out_dir, ours, record.load(out_dir), sizes)
        tempfile.TemporaryFile(dir=out_dir).close()
    except OSError as error:
        raise _explain(out_dir, error) from error


def remove_site(out_dir: Path) -> int:
    """Remove what earlier builds wrote to a folder, nothing else; returns how many files.

    Raises:
        SiteError: a file cannot be removed, or a build is writing the site.
    """
    if not out_dir.is_dir():
        return 0
    try:
        with guard.site_lock_at_once(out_dir):
            return remove_alone(out_dir)
    except OSError as error:
        raise _explain(out_dir, error) from error


def remove_alone(out_dir: Path) -> int:
    """The same in a folder that one has for one's own.

    Raises:
        OSError: a file cannot be removed.
    """
    made = record.load(out_dir).files
    sizes = record.sizes(out_dir, made)
    there = [path for path in made if sizes.get(path, -1) >= 0]
    _remove(out_dir, there)
    (out_dir / record.FILE_NAME).unlink(missing_ok=True)
    return len(there)


def decide(
    outputs: Sequence[Output], recorded: Mapping[str, Made], sizes: Mapping[str, int]
) -> Changes:
    """Which outputs must be made anew, which stay, and which files have had their day."""
    stale = []
    kept = {}
    for output in outputs:
        made = recorded.get(output.path)
        is_there = made and sizes.get(output.path) == made.n_bytes and made.of_bytes
        if made and is_there and made.digest == output.digest:
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


def program_digest(templates: Templates, static_dir: Path, kinds: Iterable[Kind[Any]] = ()) -> str:
    """The digest of all that makes a site from its contents, kinds from outside included."""
    state = hashlib.blake2b(templates.digest.encode())
    outside = {kind.folder for kind in kinds if PACKAGE_DIR not in kind.folder.parents}
    parts = [(static_dir, "*"), (PACKAGE_DIR, "*.py"), (PACKAGE_DIR, "*.html")]
    for folder, pattern in (*parts, *((folder, "*.py") for folder in sorted(outside))):
        for path in sorted(folder.rglob(pattern)):
            if path.is_file():
                state.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return state.hexdigest()


def _all_there(recorded: Record, sizes: Mapping[str, int]) -> bool:
    return all(sizes.get(path) == made.n_bytes for path, made in recorded.files.items())


def _apply(
    changes: Changes,
    inputs: str,
    maker: Maker,
    unsure: Collection[str],
    progress: ShowProgress,
) -> tuple[Mapping[str, Made], int]:
    """Make what is stale and remove what is obsolete; return the record's files and the writes."""
    out_dir, made = maker.out_dir, dict(changes.kept)
    n_written = 0
    if changes.stale or changes.forgotten:
        stale = [*(output.path for output in changes.stale), *changes.removed]
        marked = {path: Made("", 0) for path in stale if path not in unsure}
        record.save(out_dir, Record(made | marked))
        for folder in sorted({(out_dir / output.path).parent for output in changes.stale}):
            folder.mkdir(parents=True, exist_ok=True)
        total = len(made) + len(changes.stale)
        for file in maker.make(changes.stale):
            made[file.output.path] = Made(file.output.digest, file.n_bytes, file.of_bytes)
            n_written += file.written
            progress(len(made), total)
        _remove(out_dir, changes.removed)
    record.save(out_dir, Record(made, inputs))
    return made, n_written


def _prepare(out_dir: Path) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise SiteError(f"{out_dir} is a file; give a folder for the site with --out")
    if holds_program(out_dir.resolve()):
        raise SiteError(f"{out_dir} holds the program itself; give another folder with --out")
    out_dir.mkdir(parents=True, exist_ok=True)


def _refuse(
    out_dir: Path, outputs: Sequence[Output], recorded: Record, sizes: Mapping[str, int]
) -> frozenset[str]:
    """Refuse what would leave the site or overwrite what is not ours; files that may be ours."""
    asked = [output.path for output in outputs]
    guard.refuse_unsafe(asked)
    guard.refuse_links(out_dir, (path.rpartition("/")[0] for path in asked))
    return guard.refuse_foreign(out_dir, asked, recorded, sizes)


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
    where = error.filename or out_dir
    return SiteError(
        f"cannot write {where}: {error.strerror or error}; {remedy_for(error, '--out')}"
    )
