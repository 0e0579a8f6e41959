"""Pure Python work on all cores, in forked processes.

Threads would not help, because only one of them runs Python at a time. A site's contents are too
large to be sent to processes, but a forked process already has them in memory.
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

CHUNK = 64  # results per message

Task = TypeVar("Task")
Result = TypeVar("Result")


def can_fork() -> bool:
    """Whether this system can fork and has more than one core."""
    return "fork" in multiprocessing.get_all_start_methods() and (os.cpu_count() or 1) > 1


def forked(work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
    """Do all tasks on all cores; yield (position of the task, result) in any order.

    Raises:
        Exception: whatever a task raised.
        SiteError: a process was killed.
    """
    n_workers = min(os.cpu_count() or 1, len(tasks))
    context = multiprocessing.get_context("fork")
    workers = []
    for first in range(n_workers):
        reader, writer = context.Pipe(duplex=False)
        positions = range(first, len(tasks), n_workers)
        process = context.Process(target=_work, args=(work, tasks, positions, writer), daemon=True)
        process.start()
        writer.close()
        workers.append((process, reader))
    try:
        yield from _results([reader for _, reader in workers])
    finally:
        for process, _ in workers:
            process.terminate()
            process.join()


def _results(readers: Sequence[Any]) -> Iterator[Any]:
    open_readers = list(readers)
    while open_readers:
        for reader in wait(open_readers):
            results = _receive(reader)
            if results is None:
                open_readers.remove(reader)
            else:
                yield from results


def _receive(reader: Any) -> Any:
    """The next results of a process, None after its last ones."""
    try:
        message = reader.recv()
    except EOFError:
        raise SiteError(
            "a process that makes pages was killed, perhaps for want of memory; build again"
        ) from None
    if isinstance(message, BaseException):
        raise message
    return message


def _work(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    positions: Sequence[int],
    writer: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles interrupts
    try:
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            writer.send([(position, work(tasks[position])) for position in chunk])
        writer.send(None)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the parent may have closed its end
            writer.send(error)
