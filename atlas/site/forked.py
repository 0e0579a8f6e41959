"""Work that is all Python, on all cores: processes that share what there is by forking.

Threads take turns at Python, and views of a whole network are too large to be sent to processes.
A fork has them already.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, TypeVar

from atlas.errors import SiteError

CHUNK = 64  # results that are sent at once

Task = TypeVar("Task")
Result = TypeVar("Result")


def can_fork() -> bool:
    """Whether this system can, and has cores that make it worth while."""
    return "fork" in multiprocessing.get_all_start_methods() and (os.cpu_count() or 1) > 1


def forked(work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
    """Do all tasks on all cores; hands out (position, result) in any order.

    Raises:
        Exception: whatever a task raised.
        SiteError: a process was killed.
    """
    n_workers = min(os.cpu_count() or 1, len(tasks))
    context = multiprocessing.get_context("fork")
    workers = []
    for first in range(n_workers):
        ours, theirs = context.Pipe(duplex=False)
        positions = range(first, len(tasks), n_workers)
        process = context.Process(target=_work, args=(work, tasks, positions, theirs), daemon=True)
        process.start()
        theirs.close()
        workers.append((process, ours))
    try:
        yield from _results([ours for _, ours in workers])
    finally:
        for process, _ in workers:
            process.terminate()
            process.join()


def _results(readers: Sequence[Any]) -> Iterator[Any]:
    left = list(readers)
    while left:
        for reader in wait(left):
            found = _received(reader)
            if found is None:
                left.remove(reader)
            else:
                yield from found


def _received(reader: Any) -> Any:
    try:
        found = reader.recv()
    except EOFError:
        raise SiteError(
            "a process that makes pages was killed, perhaps for want of memory; build again"
        ) from None
    if isinstance(found, BaseException):
        raise found
    return found


def _work(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    positions: Sequence[int],
    writer: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who forked sees to that
    try:
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            writer.send([(position, work(tasks[position])) for position in chunk])
        writer.send(None)
    except BaseException as error:
        with contextlib.suppress(OSError):  # nobody is left to hear it
            writer.send(error)
