"""Makes the files of the site, on all cores."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jinja2

from atlas.errors import SiteError
from atlas.site import record
from atlas.site.forked import can_fork, forked
from atlas.site.guard import not_ours
from atlas.site.outputs import Output

WORTH_FORKING = 2000  # outputs: for fewer, starting processes takes longer than it saves
BATCH = 32  # outputs per task: enough that starting a task takes a negligible time

Read = Callable[[str], bytes]


class File(NamedTuple):
    """An output that has been made."""

    output: Output
    n_bytes: int
    of_bytes: str  # digest of its bytes
    written: bool  # False if the file already had these bytes


class Maker:
    """Produces outputs and writes those that differ from the existing files.

    `sizes` gives the sizes of the existing files in bytes, by path. `read` returns an artifact's
    bytes; it is only called in the thread that calls `make`. Files in `unsure` may be somebody
    else's: they are not overwritten.
    """

    def __init__(
        self, out_dir: Path, sizes: Mapping[str, int], read: Read, unsure: Collection[str] = ()
    ) -> None:
        self.out_dir = out_dir
        self._sizes = sizes
        self._read = read
        self._unsure = unsure

    def make(self, outputs: Sequence[Output]) -> Iterator[File]:
        """Make outputs: pages in processes if they are many, everything else in threads.

        Raises:
            SiteError: a picture cannot be read.
            OSError: a file cannot be written.
        """
        if can_fork() and len(outputs) > WORTH_FORKING:
            pages = [output for output in outputs if not output.artifacts]
            for position, made in forked(self._make_page, pages):
                yield File(pages[position], *made)
            outputs = [output for output in outputs if output.artifacts]
        yield from self._make_in_threads(outputs)

    def _make_page(self, output: Output) -> tuple[int, str, bool]:
        """Make a page in a process; return what there is to know of the file."""
        file = self._make(output, ())
        return file.n_bytes, file.of_bytes, file.written

    def _make_in_threads(self, outputs: Sequence[Output]) -> Iterator[File]:
        reader = _ArtifactReader(outputs, self._read)
        n_workers = os.cpu_count() or 1
        pending: deque[Future[list[File]]] = deque()
        with ThreadPoolExecutor(n_workers) as workers:
            try:
                for start in range(0, len(outputs), BATCH):
                    batch = [
                        (output, reader.read_for(output))
                        for output in outputs[start : start + BATCH]
                    ]
                    pending.append(workers.submit(self._make_batch, batch))
                    if len(pending) > 2 * n_workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _make_batch(self, batch: Sequence[tuple[Output, Sequence[bytes]]]) -> list[File]:
        return [self._make(output, data) for output, data in batch]

    def _make(self, output: Output, data: Sequence[bytes]) -> File:
        try:
            produced = output.produce(data)
        except jinja2.TemplateError:
            raise  # some of them are an OSError as well
        except (OSError, ValueError, ArithmeticError) as error:
            if not output.artifacts:
                raise
            raise SiteError(
                f"a picture for {output.path} cannot be read: {error}; it is not one that this "
                "program made: give another folder with --cache"
            ) from error
        path = self.out_dir / output.path
        is_unchanged = (
            self._sizes.get(output.path) == len(produced) and path.read_bytes() == produced
        )
        if not is_unchanged:
            if output.path in self._unsure:
                raise not_ours(self.out_dir, [output.path])
            record.write_whole(path, produced)
        return File(output, len(produced), record.digest_of_bytes(produced), not is_unchanged)


class _ArtifactReader:
    """Reads every artifact once and keeps its bytes until the last output that uses them."""

    def __init__(self, outputs: Iterable[Output], read: Read) -> None:
        self._read = read
        self._uses = Counter(key for output in outputs for key in output.artifacts)
        self._kept: dict[str, bytes] = {}

    def read_for(self, output: Output) -> list[bytes]:
        return [self._read_once(key) for key in output.artifacts]

    def _read_once(self, key: str) -> bytes:
        data = self._kept.pop(key, None) or self._read(key)
        self._uses[key] -= 1
        if self._uses[key]:
            self._kept[key] = data
        return data
