"""The cache of finished artifacts: one SQLite file, with content addresses as keys.

Bytes and their row are committed in one transaction per batch, so a kill at any instant loses at
most the batch in flight and leaves nothing half-written. Why not one file per picture:
docs/decisions/0001-cache-in-sqlite.md. Every row has a seal (`atlas.seals`): one that does not
match is treated as if it were not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from atlas import paths
from atlas.console import say_above
from atlas.database import Database
from atlas.errors import CacheError, DamagedError
from atlas.heap import no_garbage_collection
from atlas.locks import BusyError, Lock
from atlas.records import RecordType, from_json
from atlas.seals import seal, sha256_of
from atlas.text import displayable
from atlas.typed import fits
from atlas.units import NetworkFacts, ScoreName

SCHEMA_VERSION = 4  # raise it when the tables change, and add to _MIGRATIONS
FILE_NAME = "atlas.sqlite"
LOCK_NAME = FILE_NAME + "-inuse"
FILE_NAMES = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}-journal")
BOARD_NAMES = ("atlas-workers.json", "atlas-workers.json.part")  # who does what, and a new one
MAX_LOOKUPS = 1000  # for more keys than this, reading all entries is faster
ABANDONED_S = 30 * 24 * 3600.0  # age at which a checkpoint is deleted
LOCK_WAIT_S = 5.0  # for somebody who is removing the cache

_ARTIFACTS = """(
    key text primary key,
    unit text not null,
    kind text not null,
    width_px integer not null,
    height_px integer not null,
    numbers text not null,
    seconds real not null,
    sha256 text not null,
    data blob not null
)"""
# Seals are in a table of their own, as a column after `data` could not be read without it.
_SCHEMA = f"""
create table if not exists artifacts {_ARTIFACTS};
create table if not exists seals (
    key text primary key,
    seal text not null
) without rowid;
create table if not exists slots (
    slot text primary key,
    key text not null,
    seal text not null default ''
) without rowid;
create table if not exists old_addresses (
    key text primary key
) without rowid;
create table if not exists networks (
    source text primary key,
    facts text not null,
    seal text not null default ''
) without rowid;
create table if not exists checkpoints (
    key text primary key,
    data blob not null,
    saved_at real not null default 0,
    seal text not null default ''
);
create table if not exists image_digests (
    path blob not null,
    n_bytes integer not null,
    mtime_ns integer not null,
    sha256 text not null,
    seal text not null default '',
    primary key (path, n_bytes, mtime_ns)
) without rowid;
"""
# Facts are deleted so that they are read from the network again. Artifacts of the kind `similar`
# are deleted because their keys are computed differently now. Keys of the kinds `natural` and
# `examples` are listed, so that they can be replaced by new ones. Rows get their seals after this.
_MIGRATIONS = {
    3: f"""
alter table checkpoints add column saved_at real not null default 0;
alter table checkpoints add column seal text not null default '';
update checkpoints set saved_at = cast(strftime('%s', 'now') as real);
drop table networks;
delete from artifacts where kind = 'similar';
{_SCHEMA};
insert into old_addresses select key from artifacts where kind in ('natural', 'examples');
""",
}
OTHER_TABLES = {  # and what a row of each is called
    "networks": "facts of",
    "checkpoints": "checkpoint",
    "image_digests": "digest of",
    "slots": "slot",
}
_ENTRY_COLUMNS = "key, unit, kind, width_px, height_px, numbers, seconds, sha256, length(data)"
_SEALED_COLUMNS = ", ".join(f"artifacts.{name}" for name in _ENTRY_COLUMNS.split(", ")).replace(
    "artifacts.length(data)", "length(artifacts.data)"
)


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
    sha256: str = ""  # of the bytes; empty: it is computed when they are stored


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
            self.__dict__["_record"] = self._parsed(record_type, score)
        return cast(RecordType, self.__dict__["_record"])

    def _parsed(self, record_type: type[RecordType], score: ScoreName) -> RecordType:
        try:
            return from_json(record_type, self.numbers_json, score)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CacheError(
                f"the numbers of {displayable(self.kind, 60)} of {displayable(self.unit, 60)} in "
                "the cache were not made by this program; give another folder with --cache"
            ) from error


class Damaged(NamedTuple):
    """A row that is not what was stored, with what its columns say now."""

    key: str
    unit: str
    kind: str

    def __str__(self) -> str:
        return f"{displayable(self.kind, 60)} of {displayable(self.unit, 60)}"


@dataclass(frozen=True)
class Findings:
    """What was found in a cache that was read as a whole."""

    n_sound: Mapping[str, int]  # artifacts, by kind
    damaged: tuple[Damaged, ...]
    others: tuple[str, ...]  # damaged rows of other tables, and of the file itself, in words


class Cache:
    """The artifacts, network facts and checkpoints in one folder. Use as a context manager.

    Args:
        folder: made if missing.
        must_exist: whether a missing cache is an error.
        alone: whether nobody else may use it meanwhile, which is an error if somebody does.

    Raises:
        CacheError: the folder cannot be written, the disk is full, or the file is damaged or of
            another version.
    """

    def __init__(self, folder: Path, *, must_exist: bool = False, alone: bool = False) -> None:
        self.path = folder / FILE_NAME
        if must_exist and not self.path.is_file():
            raise CacheError(f"no cache in {folder}; give its folder with --cache")
        self._database = Database(self.path)
        self._known: dict[str, Entry] | None = None  # all sound rows, in the order of storing
        self._known_state: tuple[int, int] | None = None
        self._damaged: tuple[Damaged, ...] = ()
        self._lock: Lock | None = None
        try:
            with self._database.errors_explained():
                self._lock = _lock_alone(folder) if alone else _shared_lock(folder)
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
        self._database.close()
        if self._lock:
            self._lock.release()

    def put(self, artifacts: Sequence[Artifact]) -> None:
        """Store a batch of artifacts in one transaction."""
        rows = [_row_of(artifact) for artifact in artifacts]
        seals = [(row[0], seal((*row[:-1], len(row[-1])))) for row in rows]
        slots = {artifact.slot: artifact.key for artifact in artifacts if artifact.slot}
        superseded = [(old,) for old in self._superseded(slots)]
        self._known = None
        with self._database.transaction() as db:
            db.executemany("delete from artifacts where key = ?", superseded)
            db.executemany("delete from seals where key = ?", superseded)
            db.executemany(
                "insert or replace into slots values (?,?,?)",
                [(slot, key, seal((slot, key))) for slot, key in slots.items()],
            )
            db.executemany("insert or replace into artifacts values (?,?,?,?,?,?,?,?,?)", rows)
            db.executemany("insert or replace into seals values (?,?)", seals)

    def keys(self) -> set[str]:
        """The keys of all sound artifacts."""
        return set(self._all())

    def units(self) -> set[str]:
        """The ids of the units and layers that sound artifacts are of."""
        return {entry.unit for entry in self._all().values()}

    def entries(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The entries of the artifacts among `keys` that are stored and sound, by key."""
        wanted = set(keys)
        if len(wanted) <= MAX_LOOKUPS and not self._is_known:
            query = (
                f"select {_SEALED_COLUMNS}, seals.seal from artifacts"
                " left join seals using (key) where artifacts.key = ?"
            )
            rows = [row for key in wanted for row in self._database.select(query, key)]
            return {row[0]: Entry(*row[:-1]) for row in rows if seal(row[:-1]) == row[-1]}
        return {key: entry for key, entry in self._all().items() if key in wanted}

    def of_kind(self, kind: str) -> list[Entry]:
        """All sound entries of one kind, in the order in which they were stored."""
        return [entry for entry in self._all().values() if entry.kind == kind]

    def read(self, key: str) -> bytes:
        """The bytes of one artifact, checked against their digest.

        Raises:
            DamagedError: they, or what is stored with them, are not what was stored.
            CacheError: the artifact is not stored.
        """
        query = "select data, sha256 from artifacts where key = ?"
        rows = self._database.select(query, key)
        if not rows and key in self._all():
            raise DamagedError(f"the index of {self.path} has lost artifact {displayable(key, 12)}")
        if not rows:
            raise CacheError(f"{self.path} has no artifact {key[:12]}; run the build again")
        data, digest = rows[0]
        if not isinstance(data, bytes) or sha256_of(data) != digest:
            raise DamagedError(f"artifact {key[:12]} in {self.path} is damaged; build again")
        entry = self._known.get(key) if self._known else None
        entry = entry or self.entries([key]).get(key)
        if entry is None or entry.sha256 != digest:
            raise DamagedError(f"artifact {key[:12]} in {self.path} has changed; build again")
        return data

    @property
    def damaged_rows(self) -> tuple[Damaged, ...]:
        """Rows that do not match their seals; their bytes are not read for this."""
        self._all()
        return self._damaged

    def damaged(self) -> list[str]:
        """Keys of all artifacts of which anything is damaged; this reads all bytes."""
        return [damaged.key for _, damaged in self._all_damaged()]

    def set_aside(self) -> tuple[Damaged, ...]:
        """Delete everything that is damaged, bytes included, so that it can be made anew."""
        found = self._all_damaged()
        self._known = None
        try:
            with self._database.transaction() as db:
                db.execute("reindex artifacts")
                db.executemany(
                    "delete from artifacts where rowid = ?", [(row,) for row, _ in found]
                )
        except CacheError:  # two rows have the same key now, or the index is torn
            self._rebuild({row for row, _ in found})
        self._forget_others()
        return tuple(damaged for _, damaged in found)

    def verify(self) -> Findings:
        """Read everything, and say what is damaged; nothing is changed.

        Raises:
            CacheError: the file is so damaged that it cannot be read.
        """
        damaged = tuple(damaged for _, damaged in self._all_damaged())
        lost = Counter(each.kind for each in damaged if each.key in self._all())
        n_sound = Counter(entry.kind for entry in self._all().values())
        return Findings(n_sound - lost, damaged, tuple(self._other_damage()))

    def remove(self, keys: Iterable[str]) -> None:
        """Delete artifacts and free their space on the disk."""
        gone = [(key,) for key in keys]
        self._known = None
        with self._database.transaction() as db:
            for table in ("artifacts", "seals"):
                db.executemany(f"delete from {table} where key = ?", gone)
        self.free_space()

    def free_space(self) -> None:
        """Give the space of what was deleted back to the disk."""
        with self._database.errors_explained():
            self._database.db.execute("vacuum")

    def old_addresses(self) -> set[str]:
        """Keys of artifacts whose address an earlier version computed in another way."""
        return {key for (key,) in self._database.select("select key from old_addresses")}

    def readdress(self, new_keys: Mapping[str, str]) -> None:
        """Replace keys of an earlier version; `new_keys` gives the new key of each old one."""
        pairs = [(new, old) for old, new in new_keys.items()]
        sound = self.entries(new_keys)
        seals = [
            (new_keys[old], seal((new_keys[old], *_columns(entry)[1:])))
            for old, entry in sound.items()
            if new_keys[old] not in self._all()
        ]
        self._known = None
        with self._database.transaction() as db:
            db.executemany("update or ignore artifacts set key = ? where key = ?", pairs)
            db.executemany("delete from seals where key = ?", [(old,) for old in new_keys])
            db.executemany("insert or replace into seals values (?,?)", seals)
            db.executemany("delete from old_addresses where key = ?", [(old,) for _, old in pairs])

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
        row = (source, facts.to_json())
        self._database.execute("insert or replace into networks values (?,?,?)", (*row, seal(row)))

    def facts(self, source: str) -> NetworkFacts | None:
        """The facts that were stored for a weights source; None if there are none.

        Facts that are damaged, or that another version wrote, count as none.
        """
        query = "select source, facts, seal from networks where source = ?"
        for *row, sealed in self._database.select(query, source):
            if seal(row) != sealed:
                say_above(
                    f"Damaged in {self.path}: facts of {displayable(source, 60)}; "
                    "they are read anew."
                )
                return None
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                facts = NetworkFacts.from_json(row[1])
                if fits(facts, NetworkFacts) and paths.are_safe(facts):
                    return facts
            return None  # written by another version, or not by this program
        return None

    def select(self, statement: str, *values: str | bytes | int | float) -> list[Any]:
        """The rows that a statement finds."""
        return self._database.select(statement, *values)

    def execute(self, statement: str, *values: str | bytes | int | float) -> list[Any]:
        """Run one statement and commit it."""
        return self._database.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Sequence[str | bytes | int]]) -> None:
        """Run one statement for many rows, and commit them together."""
        self._database.execute_many(statement, rows)

    @property
    def disk_bytes(self) -> int:
        """Size of the cache on disk."""
        files = (self.path.parent / name for name in FILE_NAMES)
        return sum(file.stat().st_size for file in files if file.exists())

    @property
    def _is_known(self) -> bool:
        """Whether all rows were read and nobody has changed any since."""
        return self._known is not None and self._known_state == self._state()

    def _state(self) -> tuple[int, int]:
        """Changes with every commit, of this process or another."""
        ((version,),) = self._database.select("pragma data_version")
        return version, self._database.db.total_changes

    def _all(self) -> dict[str, Entry]:
        """All sound rows without their bytes; they are read once and kept until one changes."""
        if not self._is_known or self._known is None:
            self._known_state = self._state()
            with no_garbage_collection():
                self._known = self._read_all()
        return self._known

    def _read_all(self) -> dict[str, Entry]:
        seals = dict(self._database.select("select key, seal from seals"))
        rows = self._database.select(f"select {_ENTRY_COLUMNS} from artifacts not indexed")
        known = {row[0]: Entry(*row) for row in rows if seals.get(row[0]) == seal(row)}
        self._damaged = ()
        if len(known) != len(rows):
            bad = (row for row in rows if seals.get(row[0]) != seal(row))
            self._damaged = tuple(Damaged(*map(_text, row[:3])) for row in bad)
        return known

    def _all_damaged(self) -> list[tuple[int, Damaged]]:
        """Damaged rows with their row numbers; this reads all bytes, one after the other."""
        seals = dict(self._database.select("select key, seal from seals"))
        query = f"select rowid, {_ENTRY_COLUMNS} from artifacts not indexed"
        found = []
        for rowid, *columns in self._database.select(query):
            is_sound = seals.get(columns[0]) == seal(columns) and self._has_bytes(rowid, columns[7])
            if not is_sound:
                found.append((rowid, Damaged(*map(_text, columns[:3]))))
        return found

    def _has_bytes(self, rowid: int, sha256: str) -> bool:
        """Whether the bytes of a row match their digest."""
        rows = self._database.select("select data from artifacts where rowid = ?", rowid)
        return all(isinstance(data, bytes) and sha256_of(data) == sha256 for (data,) in rows)

    def _superseded(self, slots: Mapping[str, str]) -> list[str]:
        """Keys of the artifacts that were stored for slots before, where others come now."""
        query = "select slot, key, seal from slots where slot = ?"
        rows = [row for slot in slots for row in self._database.select(query, slot)]
        return [row[1] for row in rows if seal(row[:2]) == row[2] and row[1] != slots[row[0]]]

    def _rebuild(self, damaged: set[int]) -> None:
        """Make the table anew from its sound rows, without its index."""
        with self._database.transaction() as db:
            db.execute(f"create table kept {_ARTIFACTS}")
            rows = db.execute("select rowid from artifacts not indexed").fetchall()
            sound = [row for row in rows if row[0] not in damaged]
            db.executemany(
                "insert or ignore into kept select * from artifacts where rowid = ?", sound
            )
            db.execute("drop table artifacts")
            db.execute("alter table kept rename to artifacts")

    def _forget_others(self) -> None:
        """Delete damaged rows of other tables; these are small, so they are written anew."""
        for table in OTHER_TABLES:
            rows = self._database.select(f"select * from {table}")
            sound = [row for row in rows if _seal_of(table, row[:-1]) == row[-1]]
            if len(sound) < len(rows):
                with self._database.transaction() as db:
                    db.execute(f"delete from {table}")
                    places = ",".join("?" * len(rows[0]))
                    db.executemany(f"insert into {table} values ({places})", sound)

    def _other_damage(self) -> Iterator[str]:
        """What is damaged beside artifacts, in words."""
        for table, noun in OTHER_TABLES.items():
            for row in self._database.select(f"select * from {table}"):
                if _seal_of(table, row[:-1]) != row[-1]:
                    yield f"{noun} {displayable(str(row[0]), 40)}"
        for (line,) in self.select("pragma quick_check(5)"):
            if line != "ok":
                yield f"the file itself: {displayable(line, 100)}"

    def _prepare(self) -> None:
        is_current = self._checked_version() == SCHEMA_VERSION
        self._database.ready()
        if not is_current:
            self._upgrade()

    def _checked_version(self) -> int:
        """The version of the tables; 0 if there are none.

        Raises:
            CacheError: the tables are of a version that cannot be brought to this one.
        """
        version = int(self._database.first_answer("pragma user_version"))
        n_tables = self._database.first_answer("select count(*) from sqlite_master")
        if n_tables and version not in (SCHEMA_VERSION, *_MIGRATIONS):
            raise CacheError(
                f"{self.path} is a cache of version {version}, this is version {SCHEMA_VERSION}; "
                "give another folder with --cache, or remove it with the command `clean cache`"
            )
        return version if n_tables else 0

    def _upgrade(self) -> None:
        """Create the tables or bring them to this version, in one transaction."""
        with self._database.transaction() as db:
            db.execute("begin immediate")
            version = self._checked_version()
            if version == SCHEMA_VERSION:  # another process has upgraded them in the meantime
                return
            steps = range(version, SCHEMA_VERSION) if version else ()
            for script in [_MIGRATIONS[step] for step in steps] or [_SCHEMA]:
                for statement in script.split(";"):
                    db.execute(statement)
            if version:
                self._seal_old_rows()
            db.execute(f"pragma user_version = {SCHEMA_VERSION}")

    def _seal_old_rows(self) -> None:
        """Seal the rows of a version without seals, as far as they can be trusted."""
        db, select = self._database.db, self._database.select
        seals = []
        for rowid, *columns in select(f"select rowid, {_ENTRY_COLUMNS} from artifacts not indexed"):
            if _is_text(columns) and self._has_bytes(rowid, columns[7]):
                seals.append((columns[0], seal(columns)))
        db.executemany("insert or replace into seals values (?,?)", seals)
        rows = select("select key, data, saved_at from checkpoints")
        db.executemany(
            "update checkpoints set seal = ? where key = ?",
            [(_checkpoint_seal(*row), row[0]) for row in rows],
        )


class Checkpoint:
    """The saved state of one piece of work."""

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache, self._key = cache, key

    def save(self, data: bytes) -> None:
        """Store the state in place of the one before."""
        row = (self._key, data, time.time())
        self._cache.execute(
            "insert or replace into checkpoints values (?,?,?,?)", *row, _checkpoint_seal(*row)
        )

    def load(self) -> bytes | None:
        """The stored state; None if there is none, or if it is damaged."""
        query = "select key, data, saved_at, seal from checkpoints where key = ?"
        for *row, sealed in self._cache.select(query, self._key):
            if _checkpoint_seal(*row) == sealed:
                return bytes(row[1])
            say_above(f"Damaged in {self._cache.path}: an interrupted pass; it begins anew.")
            self.drop()
        return None

    def drop(self) -> None:
        """Delete the state, when the work is done."""
        self._cache.execute("delete from checkpoints where key = ?", self._key)


class ImageDigests(MutableMapping[tuple[str, int, int], str]):
    """Digests of images that were read before, so that unchanged images are not read again."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        rows = cache.select("select path, n_bytes, mtime_ns, sha256, seal from image_digests")
        sound = [row for *row, sealed in rows if seal(row) == sealed]
        self._known: dict[tuple[str, int, int], str] = {
            (os.fsdecode(path), n_bytes, mtime_ns): sha for path, n_bytes, mtime_ns, sha in sound
        }
        if len(sound) < len(rows):
            n_damaged = len(rows) - len(sound)
            say_above(
                f"Damaged in {cache.path}: {n_damaged:,} digests of images; they are read again."
            )
            cache.execute("delete from image_digests")
            self.update(self._known)

    def __getitem__(self, key: tuple[str, int, int]) -> str:
        return self._known[key]

    def __setitem__(self, key: tuple[str, int, int], sha256: str) -> None:
        self.update({key: sha256})

    def __delitem__(self, key: tuple[str, int, int]) -> None:
        del self._known[key]
        path, *state = key
        self._cache.execute(
            "delete from image_digests where path = ? and n_bytes = ? and mtime_ns = ?",
            os.fsencode(path),
            *state,
        )

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def update(self, digests: Any = (), /, **_: str) -> None:
        """Store many digests at once."""
        added = dict(digests)
        self._known |= added
        rows = ((os.fsencode(path), *state, sha256) for (path, *state), sha256 in added.items())
        self._cache.execute_many(
            "insert or replace into image_digests values (?,?,?,?,?)",
            [(*row, seal(row)) for row in rows],
        )


def remove_cache(folder: Path) -> int:
    """Delete the cache's own files in a folder; returns how many there were.

    Raises:
        CacheError: they cannot be removed, or are in use.
    """
    if not folder.is_dir():
        return 0
    files = [folder / name for name in (*FILE_NAMES, *BOARD_NAMES)]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    lock = _lock_alone(folder)
    try:
        for path in files:
            path.unlink()
        (folder / LOCK_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(
            f"cannot remove {error.filename}: {error.strerror}; check the folder's permissions"
        ) from error
    finally:
        lock.release()
    return len(files)


def _in_use(folder: Path) -> CacheError:
    return CacheError(
        f"the cache in {folder} is in use; wait for the build that uses it, or stop it, then try "
        "again"
    )


def _lock_alone(folder: Path) -> Lock:
    try:
        return Lock(folder / LOCK_NAME, keeps_file=True)
    except BusyError as error:
        raise _in_use(folder) from error


def _shared_lock(folder: Path) -> Lock:
    """The lock that keeps others from removing a cache in use."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return Lock(folder / LOCK_NAME, shared=True)
        except BusyError as error:
            if time.monotonic() > deadline:
                raise CacheError(
                    f"the cache in {folder} is being removed; try again when that is done"
                ) from error
            time.sleep(0.1)


def _row_of(artifact: Artifact) -> tuple[Any, ...]:
    return (
        artifact.key,
        artifact.unit,
        artifact.kind,
        int(artifact.width_px),
        int(artifact.height_px),
        artifact.numbers_json,
        float(artifact.seconds),
        artifact.sha256 or sha256_of(artifact.data),
        artifact.data,
    )


def _columns(entry: Entry) -> tuple[Any, ...]:
    """The columns of an entry's row, in their order."""
    return (
        entry.key,
        entry.unit,
        entry.kind,
        entry.width_px,
        entry.height_px,
        entry.numbers_json,
        entry.seconds,
        entry.sha256,
        entry.n_bytes,
    )


def _seal_of(table: str, row: Sequence[Any]) -> str:
    """The seal of a row of a table other than that of artifacts."""
    return _checkpoint_seal(*row) if table == "checkpoints" else seal(row)


def _checkpoint_seal(key: str, data: Any, saved_at: float) -> str:
    digest = sha256_of(data) if isinstance(data, bytes) else ""
    return seal((key, digest, saved_at))


def _is_text(columns: Sequence[Any]) -> bool:
    """Whether all text of a row is text: what was not UTF-8 has lone surrogates."""
    return all(
        isinstance(each, int | float) or (isinstance(each, str) and not _has_surrogates(each))
        for each in columns
    )


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _text(column: object) -> str:
    return column if isinstance(column, str) else displayable(str(column), 60)
