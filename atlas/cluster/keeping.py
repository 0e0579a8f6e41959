"""Keeps what arrives in the cache, in a thread of its own, so that nobody waits for the disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from atlas.cache import Artifact, Cache

Kept = Callable[[list[Artifact]], None]


class Keeper(Protocol):
    """Keeps artifacts while other things are done."""

    def begin(self, artifacts: list[Artifact]) -> None:
        """Begin to keep some, in one transaction; it must not be busy."""

    def is_busy(self) -> bool:
        """Whether it is not done with these."""

    def wait(self) -> None:
        """Wait until it is done with these."""


class ThreadKeeper:
    """Keeps artifacts in a thread, with its own connection. Use as a context manager.

    Args:
        folder: of the cache.
        kept: told of artifacts when they are kept, in the thread that waits or asks.

    Raises:
        CacheError: on asking or waiting, they cannot be kept.
    """

    def __init__(self, folder: Path, kept: Kept) -> None:
        self._folder, self._kept = folder, kept
        self._cache: Cache | None = None  # of the thread
        self._given: list[Artifact] = []
        self._put: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="keep")

    def __enter__(self) -> ThreadKeeper:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.submit(self._close_cache)
        self._pool.shutdown()

    def begin(self, artifacts: list[Artifact]) -> None:
        """Begin to keep some, in one transaction; it must not be busy."""
        self._given, self._put = artifacts, self._pool.submit(self._put_in_cache, artifacts)

    def is_busy(self) -> bool:
        """Whether it is not done with these."""
        if self._put and self._put.done():
            self.wait()
        return self._put is not None

    def wait(self) -> None:
        """Wait until it is done with these."""
        if self._put is None:
            return
        put = self._put
        put.exception()  # Ctrl-C while waiting leaves it to be waited for again
        given, self._given, self._put = self._given, [], None
        put.result()
        self._kept(given)

    def _put_in_cache(self, artifacts: list[Artifact]) -> None:
        self._cache = self._cache or Cache(self._folder)
        self._cache.put(artifacts)

    def _close_cache(self) -> None:
        if self._cache:
            self._cache.close()
