"""The cache's SQLite file: opened on whatever file system it lies, and its errors explained."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from atlas.errors import CacheError, remedy_for
from atlas.locks import file_system, is_shared_by_machines, why_no_locks
from atlas.text import displayable

TIMEOUT_S = 60.0  # how long to wait for another process that writes
DAMAGE = (
    "not a database",
    "malformed",
    "unsupported file format",
    "no such",
    "duplicate column",
    "already exists",
    "unique constraint",
    "corrupt",
    "unknown database",
    "has no column",
)


class Database:
    """One SQLite file, in write-ahead mode where that works and with a plain journal elsewhere.

    Raises:
        CacheError: the file cannot be opened, its file system has no locks, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.errors_explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_without_locks()
            self.db = sqlite3.connect(path, timeout=TIMEOUT_S)

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        self.db.close()

    def ready(self) -> None:
        """Choose how commits are made; the file is written from here on."""
        wanted = "truncate" if is_shared_by_machines(self.path.parent) else "wal"
        if self._journal(wanted) == "wal":
            # Commits survive a killed process; a power cut may undo the last transactions.
            self.db.execute("pragma synchronous = normal")
        else:
            self._journal("truncate")

    def first_answer(self, statement: str) -> Any:
        """The first value that a file gives, perhaps one whose write-ahead log cannot be used."""
        try:
            return self.db.execute(statement).fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or not self._leave_wal():
                raise
            return self.db.execute(statement).fetchone()[0]

    def select(self, statement: str, *values: Any) -> list[Any]:
        """The rows that a statement finds; text that is not UTF-8 comes with lone surrogates.

        Raises:
            CacheError: the file cannot be read.
        """
        with self.errors_explained():
            try:
                return self.db.execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error).lower():
                    raise
            self.db.text_factory = _decoded
            try:
                return self.db.execute(statement, values).fetchall()
            finally:
                self.db.text_factory = str

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is done inside is done whole or not at all."""
        with self.errors_explained(), self.db:
            yield self.db

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run one statement and commit it."""
        with self.transaction() as db:
            return db.execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for many rows, and commit them together."""
        with self.transaction() as db:
            db.executemany(statement, rows)

    @contextlib.contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turn errors of SQLite and of the file system into `CacheError`."""
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError, MemoryError, UnicodeError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> CacheError:
        said = str(error)
        reason = said.lower()
        if isinstance(error, OSError):
            said, remedy = f"{error.strerror or error}", remedy_for(error, "--cache")
        elif "full" in reason:
            remedy = "free some space, or move the cache with --cache; what is done is kept"
        elif any(words in reason for words in DAMAGE):
            remedy = "move it away and build again, or give another folder with --cache"
        elif "locked" in reason or "locking" in reason:
            remedy = "another build is writing to it: wait for it, or give another --cache"
        elif isinstance(error, MemoryError):
            said, remedy = "not enough memory", "close other programs, then build again"
        else:
            said, remedy = self._what_writing_says(said)
        return CacheError(f"cannot use the cache {self.path}: {displayable(said, 200)}; {remedy}")

    def _what_writing_says(self, said: str) -> tuple[str, str]:
        """The cause and remedy of an error for which SQLite has no number: try it in the folder."""
        try:
            with tempfile.TemporaryFile(dir=self.path.parent) as file:
                file.write(bytes(1 << 16))
            with self.path.open("r+b"):
                pass
        except FileNotFoundError:
            pass
        except OSError as error:
            return f"{said} ({error.strerror})", remedy_for(error, "--cache")
        kind = file_system(self.path.parent)
        return said, (
            f"its file system{f' ({kind})' if kind else ''} or disk fails: "
            "give a folder on a local disk with --cache"
        )

    def _refuse_without_locks(self) -> None:
        """In milliseconds, rather than after SQLite has waited a minute for a lock."""
        folder = self.path.parent
        if reason := why_no_locks(folder):
            kind = file_system(folder)
            raise CacheError(
                f"cannot use the cache {self.path}: its file system{f' ({kind})' if kind else ''} "
                f"has no file locks ({reason}); give a folder on a local disk with --cache"
            )

    def _journal(self, mode: str) -> str:
        """Ask for a kind of journal; the kind that there is then."""
        try:
            found = str(self.db.execute(f"pragma journal_mode = {mode}").fetchone()[0])
            self.db.execute("select count(*) from sqlite_master").fetchone()  # maps the log's index
            return found
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "readonly" in str(error) or not self._leave_wal():
                raise
            return "truncate"

    def _leave_wal(self) -> bool:
        """Bring a file back to a plain journal, without shared memory; whether that worked."""
        with contextlib.suppress(sqlite3.Error):
            self.db.close()  # what has tried to map memory once tries it again
            self.db = sqlite3.connect(self.path, timeout=TIMEOUT_S)
            self.db.execute("pragma locking_mode = exclusive")
            mode = self.db.execute("pragma journal_mode = truncate").fetchone()[0]
            self.db.execute("pragma locking_mode = normal")
            self.db.execute("select count(*) from sqlite_master").fetchone()
            return str(mode) == "truncate"
        return False


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
