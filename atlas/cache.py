"""The cache of finished artifacts: one SQLite file, with content addresses as keys.

Bytes and their row are committed in one transaction per batch, so a kill at any instant loses at
most the batch in flight and leaves nothing half-written. Why not one file per picture:
docs/decisions/0001-cache-in-sqlite.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from atlas.errors import CacheError
from atlas.records import RecordType, from_json
from atlas.units import NetworkFacts, ScoreName

SCHEMA_VERSION = 4  # raise it when the tables change, and add to _MIGRATIONS
FILE_NAME = "atlas.sqlite"
MAX_LOOKUPS = 1000  # for more keys than this, reading all entries is faster
ABANDONED_S = 30 * 24 * 3600.0  # age at which a checkpoint is deleted

_SCHEMA = """
create table if not exists artifacts (
    key text primary key,
    unit text not null,
    kind text not null,
    width_px integer not null,
    height_px integer not null,
    numbers text not null,
    seconds real not null,
    sha256 text not null,
    data blob not null
);
create table if not exists slots (
    slot text primary key,
    key text not null
) without rowid;
create table if not exists old_addresses (
    key text primary key
) without rowid;
create table if not exists networks (
    source text primary key,
    facts text not null
) without rowid;
create table if not exists checkpoints (
    key text primary key,
    data blob not null,
    saved_at real not null default 0
);
create table if not exists image_digests (
    path text not null,
    n_bytes integer not null,
    mtime_ns integer not null,
    sha256 text not null,
    primary key (path, n_bytes, mtime_ns)
) without rowid;
"""
_MIGRATIONS = {
    # Facts are deleted so that they are read from the network again. Artifacts of the kind
    # `similar` are deleted because their keys are computed differently now. Keys of the kinds
    # `natural` and `examples` are listed, so that they can be replaced by new ones.
    3: f"""
alter table checkpoints add column saved_at real not null default 0;
update checkpoints set saved_at = cast(strftime('%s', 'now') as real);
delete from networks;
delete from artifacts where kind = 'similar';
{_SCHEMA}
insert into old_addresses select key from artifacts where kind in ('natural', 'examples');
"""
}
_AS_BYTES = "bytes:"  # before paths in hexadecimal digits; other paths are absolute
_ENTRY_COLUMNS = "key, unit, kind, width_px, height_px, numbers, seconds, sha256, length(data)"


@dataclass(frozen=True)
class Artifact:
    """One finished artifact that is to be stored."""

    key: str
    unit: str  # Unit.id
    kind: str
    width_px: int
    height_px: int
    numbers_json: str  # the record
    seconds: float  # render time
    data: bytes  # the encoded picture, or arrays that belong to the record
    slot: str = ""  # the artifact stored for this slot before is deleted; empty: none is


@dataclass(frozen=True)
class Entry:
    """The row of a stored artifact, without its bytes."""

    key: str
    unit: str
    kind: str
    width_px: int
    height_px: int
    numbers_json: str
    seconds: float
    sha256: str
    n_bytes: int

    def record(self, record_type: type[RecordType], score: ScoreName) -> RecordType:
        """The artifact's record; parsed on first use, since there are many entries."""
        if "_record" not in self.__dict__:
            self.__dict__["_record"] = from_json(record_type, self.numbers_json, score)
        return cast(RecordType, self.__dict__["_record"])


class Cache:
    """The artifacts, network facts and checkpoints in one folder. Use as a context manager.

    Raises:
        CacheError: the folder cannot be written, the disk is full, or the file is damaged or of
            another version.
    """

    def __init__(self, folder: Path, *, must_exist: bool = False) -> None:
        self.path = folder / FILE_NAME
        if must_exist and not self.path.is_file():
            raise CacheError(f"no cache in {folder}; give its folder with --cache")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60)
        except (OSError, sqlite3.Error) as error:
            raise self._cache_error(error) from error
        try:
            with self._errors_explained():
                self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        self._db.close()

    def put(self, artifacts: Sequence[Artifact]) -> None:
        """Store a batch of artifacts in one transaction."""
        rows = [
            (
                artifact.key,
                artifact.unit,
                artifact.kind,
                artifact.width_px,
                artifact.height_px,
                artifact.numbers_json,
                artifact.seconds,
                hashlib.sha256(artifact.data).hexdigest(),
                artifact.data,
            )
            for artifact in artifacts
        ]
        slots = [(artifact.slot, artifact.key) for artifact in artifacts if artifact.slot]
        with self._errors_explained(), self._db:
            self._db.executemany(
                "delete from artifacts where key in (select key from slots where slot = ?1)"
                " and key != ?2",
                slots,
            )
            self._db.executemany("insert or replace into slots values (?,?)", slots)
            self._db.executemany(
                "insert or replace into artifacts values (?,?,?,?,?,?,?,?,?)", rows
            )

    def keys(self) -> set[str]:
        """The keys of all stored artifacts."""
        with self._errors_explained():
            return {key for (key,) in self._db.execute("select key from artifacts")}

    def entries(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The entries of the artifacts among `keys` that are stored, by key."""
        wanted = set(keys)
        with self._errors_explained():
            if len(wanted) <= MAX_LOOKUPS:
                query = f"select {_ENTRY_COLUMNS} from artifacts where key = ?"
                rows = [row for key in wanted for row in self._db.execute(query, (key,))]
            else:
                rows = self._db.execute(f"select {_ENTRY_COLUMNS} from artifacts").fetchall()
        return {row[0]: Entry(*row) for row in rows if row[0] in wanted}

    def of_kind(self, kind: str) -> list[Entry]:
        """All entries of one kind, in the order in which they were stored."""
        with self._errors_explained():
            rows = self._db.execute(
                f"select {_ENTRY_COLUMNS} from artifacts where kind = ? order by rowid", (kind,)
            ).fetchall()
        return [Entry(*row) for row in rows]

    def read(self, key: str) -> bytes:
        """The bytes of one artifact, checked against their digest.

        Raises:
            CacheError: the artifact is not stored, or is damaged.
        """
        with self._errors_explained():
            row = self._db.execute(
                "select data, sha256 from artifacts where key = ?", (key,)
            ).fetchone()
        if row is None:
            raise CacheError(f"{self.path} has no artifact {key[:12]}; run the build again")
        data, digest = row
        if hashlib.sha256(data).hexdigest() != digest:
            raise CacheError(
                f"artifact {key[:12]} in {self.path} is damaged; "
                "remove it with the command `clean damaged`, then build again"
            )
        return bytes(data)

    def damaged(self) -> list[str]:
        """Keys whose bytes no longer match their digest."""
        with self._errors_explained():
            rows = self._db.execute("select key, data, sha256 from artifacts")
            return [key for key, data, digest in rows if hashlib.sha256(data).hexdigest() != digest]

    def remove(self, keys: Iterable[str]) -> None:
        """Delete artifacts and free their space on the disk."""
        with self._errors_explained():
            with self._db:
                self._db.executemany(
                    "delete from artifacts where key = ?", [(key,) for key in keys]
                )
            self._db.execute("vacuum")

    def old_addresses(self) -> set[str]:
        """Keys of artifacts whose address an earlier version computed in another way."""
        return {key for (key,) in self.execute("select key from old_addresses")}

    def readdress(self, new_keys: Mapping[str, str]) -> None:
        """Replace keys of an earlier version; `new_keys` gives the new key of each old one."""
        pairs = [(new, old) for old, new in new_keys.items()]
        with self._errors_explained(), self._db:
            self._db.executemany("update or ignore artifacts set key = ? where key = ?", pairs)
            self._db.executemany(
                "delete from old_addresses where key = ?", [(old,) for _, old in pairs]
            )

    def checkpoint(self, key: str) -> Checkpoint:
        """The checkpoint of a long piece of work; abandoned checkpoints are deleted first."""
        oldest_kept = time.time() - ABANDONED_S
        self.execute("delete from checkpoints where saved_at < ?", oldest_kept)
        return Checkpoint(self, hashlib.sha256(key.encode()).hexdigest())

    @property
    def image_digests(self) -> MutableMapping[tuple[str, int, int], str]:
        """Digests of images by path, size in bytes and time of the last change in nanoseconds."""
        return ImageDigests(self)

    def save_facts(self, source: str, facts: NetworkFacts) -> None:
        """Store the facts of a network by its weights source, so that it need not be loaded."""
        with self._errors_explained(), self._db:
            self._db.execute(
                "insert or replace into networks values (?,?)", (source, facts.to_json())
            )

    def facts(self, source: str) -> NetworkFacts | None:
        """The facts that were stored for a weights source; None if there are none."""
        with self._errors_explained():
            row = self._db.execute(
                "select facts from networks where source = ?", (source,)
            ).fetchone()
        try:
            return NetworkFacts.from_json(row[0]) if row else None
        except (KeyError, TypeError, ValueError):  # written by another version
            return None

    def execute(self, statement: str, *values: str | bytes | int | float) -> list[Any]:
        """Run one statement and commit it."""
        with self._errors_explained(), self._db:
            return self._db.execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Iterable[Sequence[str | int]]) -> None:
        """Run one statement for many rows, and commit them together."""
        with self._errors_explained(), self._db:
            self._db.executemany(statement, rows)

    @property
    def disk_bytes(self) -> int:
        """Size of the cache on disk."""
        return sum(path.stat().st_size for path in self.path.parent.glob(FILE_NAME + "*"))

    def _prepare(self) -> None:
        is_current = self._checked_version() == SCHEMA_VERSION
        # Commits survive a killed process; a power cut may undo the last transactions.
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        if not is_current:
            self._upgrade()

    def _checked_version(self) -> int:
        """The version of the tables; 0 if there are none.

        Raises:
            CacheError: the tables are of a version that cannot be brought to this one.
        """
        (version,) = self._db.execute("pragma user_version").fetchone()
        (n_tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
        if n_tables and version not in (SCHEMA_VERSION, *_MIGRATIONS):
            raise CacheError(
                f"{self.path} is a cache of version {version}, this is version {SCHEMA_VERSION}; "
                "give another folder with --cache, or remove it with the command `clean cache`"
            )
        return version if n_tables else 0

    def _upgrade(self) -> None:
        """Create the tables or bring them to this version, in one transaction."""
        with self._db:
            self._db.execute("begin immediate")
            version = self._checked_version()
            if version == SCHEMA_VERSION:  # another process has upgraded them in the meantime
                return
            for statement in _MIGRATIONS.get(version, _SCHEMA).split(";"):
                self._db.execute(statement)
            self._db.execute(f"pragma user_version = {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn SQLite's errors into `CacheError`."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._cache_error(error) from error

    def _cache_error(self, error: Exception) -> CacheError:
        reason = str(error).lower()
        if "full" in reason or "no space" in reason:
            remedy = "free some space, or move the cache with --cache; what is done is kept"
        elif "not a database" in reason or "malformed" in reason:
            remedy = "move it away and build again, or give another folder with --cache"
        elif "locked" in reason:
            remedy = "another build is writing to it: wait for it, or give another --cache"
        else:
            remedy = "give a folder that can be written with --cache"
        return CacheError(f"cannot use the cache {self.path}: {error}; {remedy}")


class Checkpoint:
    """The saved state of one piece of work."""

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache, self._key = cache, key

    def save(self, data: bytes) -> None:
        """Store the state in place of the one before."""
        self._cache.execute(
            "insert or replace into checkpoints values (?,?,?)", self._key, data, time.time()
        )

    def load(self) -> bytes | None:
        """The stored state; None if there is none."""
        rows = self._cache.execute("select data from checkpoints where key = ?", self._key)
        return bytes(rows[0][0]) if rows else None

    def drop(self) -> None:
        """Delete the state, when the work is done."""
        self._cache.execute("delete from checkpoints where key = ?", self._key)


class ImageDigests(MutableMapping[tuple[str, int, int], str]):
    """Digests of images that were read before, so that unchanged images are not read again."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        rows = cache.execute("select path, n_bytes, mtime_ns, sha256 from image_digests")
        self._known: dict[tuple[str, int, int], str] = {
            (_path(stored), n_bytes, mtime_ns): sha for stored, n_bytes, mtime_ns, sha in rows
        }

    def __getitem__(self, key: tuple[str, int, int]) -> str:
        return self._known[key]

    def __setitem__(self, key: tuple[str, int, int], sha256: str) -> None:
        self.update({key: sha256})

    def __delitem__(self, key: tuple[str, int, int]) -> None:
        del self._known[key]
        self._cache.execute(
            "delete from image_digests where path = ? and n_bytes = ? and mtime_ns = ?",
            _storable(key[0]),
            *key[1:],
        )

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def update(self, digests: Any = (), /, **_: str) -> None:
        """Store many digests at once."""
        added = dict(digests)
        self._known |= added
        self._cache.execute_many(
            "insert or replace into image_digests values (?,?,?,?)",
            [(_storable(path), *others, sha256) for (path, *others), sha256 in added.items()],
        )


def _storable(path: str) -> str:
    """A path as text that SQLite can hold; one whose name is not UTF-8 becomes its bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _AS_BYTES + os.fsencode(path).hex()
    return path


def _path(stored: str) -> str:
    """The path that `_storable` stored."""
    if not stored.startswith(_AS_BYTES):
        return stored
    return os.fsdecode(bytes.fromhex(stored.removeprefix(_AS_BYTES)))


def remove_cache(folder: Path) -> int:
    """Delete the cache's own files in a folder; returns how many there were.

    Raises:
        CacheError: they cannot be removed.
    """
    files = list(folder.glob(FILE_NAME + "*"))
    try:
        for path in files:
            path.unlink()
    except OSError as error:
        raise CacheError(f"cannot remove {error.filename}: {error.strerror}") from error
    return len(files)
