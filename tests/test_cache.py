"""What was made stays made: whole batches, checked bytes, clear refusals."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import site_factory

import atlas.database
from atlas.cache import FILE_NAME, SCHEMA_VERSION, Artifact, Cache, remove_cache
from atlas.errors import CacheError, DamagedError
from atlas.seals import seal

BATCH = 16
DAY_S = 24 * 3600

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_cache import BATCH, batch
from atlas.cache import Cache
with Cache(Path({folder!r})) as cache:
    for number in range(1_000_000):
        cache.put(batch(number))
        print(number, flush=True)
"""

# As caches of version 3 were made.
SCHEMA_3 = """
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
create table if not exists networks (
    source text primary key,
    facts text not null
) without rowid;
create table if not exists checkpoints (
    key text primary key,
    data blob not null
);
pragma user_version = 3;
pragma journal_mode = wal;
"""
FACTS_3 = (
    '{"input_size_px":64,"labels":["tench"],"labels_source":"made up","layers":[],'
    '"mean":[0.5,0.5,0.5],"name":"TinyNet","sha256":"00","std":[0.2,0.2,0.2],"weights":"tiny"}'
)


def artifact(name: str, n_bytes: int = 3000) -> Artifact:
    return Artifact(
        key=hashlib.sha256(name.encode()).hexdigest(),
        unit=f"conv1:{len(name)}",
        kind="excitatory",
        width_px=64,
        height_px=48,
        numbers_json='{"top5":[[1,0.5]],"z":1.25}',
        seconds=0.5,
        data=random.Random(name).randbytes(n_bytes),
    )


def batch(number: int) -> list[Artifact]:
    return [artifact(f"{number} {index}") for index in range(BATCH)]


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache") as cache:
        yield cache


def test_what_is_put_is_read_back_after_reopening(tmp_path):
    one, two = artifact("one"), artifact("two")
    with Cache(tmp_path / "deep" / "cache") as cache:
        cache.put([one, two])
    with Cache(tmp_path / "deep" / "cache") as cache:
        entries = cache.entries([one.key, "0" * 64])
        assert list(entries) == [one.key]
        entry = entries[one.key]
        assert cache.read(one.key) == one.data
        assert cache.read(two.key) == two.data
    same = ("key", "unit", "kind", "width_px", "height_px", "numbers_json", "seconds")
    assert all(getattr(entry, name) == getattr(one, name) for name in same)
    assert entry.n_bytes == len(one.data)
    assert entry.sha256 == hashlib.sha256(one.data).hexdigest()


def test_putting_again_replaces(cache):
    cache.put([artifact("one")])
    cache.put([dataclasses.replace(artifact("one"), data=b"new")])
    assert cache.read(artifact("one").key) == b"new"


def test_a_batch_is_kept_whole_or_not_at_all(cache):
    cache.put(batch(0))
    spoilt = dataclasses.replace(artifact("spoilt"), data=None)
    with pytest.raises(TypeError):
        cache.put([artifact("before"), spoilt])
    unnamed = dataclasses.replace(artifact("unnamed"), unit=None)
    with pytest.raises(CacheError):
        cache.put([artifact("before"), unnamed, artifact("after")])
    assert not cache.entries([artifact("before").key, artifact("after").key])
    assert len(cache.entries(one.key for one in batch(0))) == BATCH


def test_facts_come_back_equal(tmp_path):
    facts = site_factory.network()
    with Cache(tmp_path) as cache:
        cache.save_facts("mine.pth 0123", facts)
    with Cache(tmp_path) as cache:
        assert cache.facts("mine.pth 0123") == facts
        assert cache.facts("another") is None


def test_a_missing_artifact_says_what_to_do(cache):
    with pytest.raises(CacheError, match="run the build again"):
        cache.read("0" * 64)


def test_a_kill_leaves_whole_batches_only(tmp_path):
    code = WRITER.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        told = [writer.stdout.readline() for _ in range(40)]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        n_told = 1 + int(told[-1])
        with Cache(tmp_path) as cache:
            found = [
                len(cache.entries(one.key for one in batch(number)))
                for number in range(n_told + 200)
            ]
            assert not cache.damaged()
        assert found[:n_told] == [BATCH] * n_told
        assert set(found[n_told:]) <= {0, BATCH}


def flip(path: Path, data: bytes) -> None:
    """Change one byte in the middle of where `data` is stored."""
    whole = bytearray(path.read_bytes())
    at = whole.index(data[100:200]) + 50
    whole[at] ^= 0xFF
    path.write_bytes(whole)


def test_damaged_bytes_are_found_and_not_handed_out(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put(batch(0))
    flip(tmp_path / FILE_NAME, batch(0)[3].data)
    with Cache(tmp_path) as cache:
        assert cache.damaged() == [batch(0)[3].key]
        with pytest.raises(DamagedError, match="damaged; build again"):
            cache.read(batch(0)[3].key)
        assert cache.read(batch(0)[4].key) == batch(0)[4].data
        assert [each.key for each in cache.set_aside()] == [batch(0)[3].key]
        assert len(cache.entries(one.key for one in batch(0))) == BATCH - 1


def test_removing_gives_the_space_back(tmp_path):
    with Cache(tmp_path) as cache:
        for number in range(10):
            cache.put(batch(number))
    with Cache(tmp_path) as cache:
        before = cache.disk_bytes
        cache.remove(one.key for number in range(9) for one in batch(number))
    with Cache(tmp_path) as cache:
        assert cache.disk_bytes < before / 5
        assert len(cache.entries(one.key for one in batch(9))) == BATCH


def test_a_cache_of_another_version_is_refused_and_left_as_it_was(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put(batch(0))
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    db.execute("pragma journal_mode = delete")
    db.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(CacheError, match=f"version {SCHEMA_VERSION + 1}.*--cache"):
        Cache(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def cache_of_version_3(folder: Path, *artifacts: Artifact) -> sqlite3.Connection:
    """What an earlier program left: artifacts, facts of a network, and an interrupted pass."""
    db = sqlite3.connect(folder / FILE_NAME)
    db.executescript(SCHEMA_3)
    for one in artifacts:
        sha256 = hashlib.sha256(one.data).hexdigest()
        numbers = (one.width_px, one.height_px, one.numbers_json, one.seconds)
        row = (one.key, one.unit, one.kind, *numbers, sha256, one.data)
        db.execute("insert into artifacts values (?,?,?,?,?,?,?,?,?)", row)
    db.execute("insert into networks values (?,?)", ("mine.pth 0123", FACTS_3))
    key = hashlib.sha256(b"a pass").hexdigest()
    db.execute("insert into checkpoints values (?,?)", (key, b"half of it"))
    db.commit()
    return db


def test_a_cache_of_version_3_is_brought_to_this_version(tmp_path):
    pictures = batch(0)
    comparison = dataclasses.replace(artifact("alike"), kind="similar", unit="conv1")
    cache_of_version_3(tmp_path, *pictures, comparison).close()
    for _ in range(2):  # it is done once, and stays done
        with Cache(tmp_path, must_exist=True) as cache:
            entries = cache.entries(one.key for one in pictures)
            for one in pictures:
                assert cache.read(one.key) == one.data
                same = ("unit", "kind", "width_px", "height_px", "numbers_json", "seconds")
                assert all(getattr(entries[one.key], each) == getattr(one, each) for each in same)
            assert cache.keys() == {one.key for one in pictures}
            assert cache.of_kind("similar") == []  # it has another address now
            assert cache.facts("mine.pth 0123") is None  # to be read from the network again
            assert cache.checkpoint("a pass").load() == b"half of it"
    with Cache(tmp_path) as cache:
        cache.save_facts("mine.pth 0123", site_factory.network())
        cache.put([dataclasses.replace(comparison, slot="conv1")])
        assert cache.facts("mine.pth 0123") == site_factory.network()
        assert cache.read(comparison.key) == comparison.data


def test_what_photographs_gave_an_earlier_version_can_be_given_its_present_address(tmp_path):
    shown = dataclasses.replace(artifact("photographs"), kind="natural", unit="conv1")
    strips = dataclasses.replace(artifact("strips"), kind="examples", unit="conv1:0")
    cache_of_version_3(tmp_path, artifact("picture"), shown, strips).close()
    with Cache(tmp_path) as cache:
        assert cache.old_addresses() == {shown.key, strips.key}
        cache.readdress({shown.key: "a" * 64})
        assert cache.read("a" * 64) == shown.data
        assert cache.old_addresses() == {strips.key}
        assert cache.keys() == {artifact("picture").key, "a" * 64, strips.key}


def test_rows_of_an_earlier_version_get_seals_where_their_bytes_are_right(tmp_path):
    pictures = batch(0)
    db = cache_of_version_3(tmp_path, *pictures)
    db.execute("update artifacts set data = x'00' where key = ?", (pictures[2].key,))
    db.execute("update artifacts set unit = cast(x'ff' as text) where key = ?", (pictures[3].key,))
    db.commit()
    db.close()
    for _ in range(2):
        with Cache(tmp_path, must_exist=True) as cache:
            sound = [one for one in pictures if one not in pictures[2:4]]
            assert cache.keys() == {one.key for one in sound}
            assert [cache.read(one.key) for one in sound] == [one.data for one in sound]
            assert cache.checkpoint("a pass").load() == b"half of it"
            found = cache.verify()
    assert {each.key for each in found.damaged} == {one.key for one in pictures[2:4]}
    assert found.others == ()
    with Cache(tmp_path) as cache:
        assert len(cache.set_aside()) == 2
        assert cache.verify().damaged == ()
        assert cache.keys() == {one.key for one in sound}


COLUMNS = ("key", "unit", "kind", "width_px", "height_px", "numbers", "seconds", "sha256")


@pytest.mark.parametrize("column", [*COLUMNS, "data"])
@pytest.mark.parametrize("value", ["x'ff'", "cast(x'ff' as text)", "'other'", "7", "''", "1.5"])
def test_a_row_with_another_value_is_not_there(tmp_path, column, value):
    one, two = artifact("one"), artifact("two")
    with Cache(tmp_path) as cache:
        cache.put([one, two])
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute(f"update artifacts set {column} = {value} where key = ?", (one.key,))
    db.close()
    with Cache(tmp_path) as cache:
        lookups = set(cache.entries([one.key, two.key]))
        if column == "data" and value == "x'ff'":  # noticed by its length
            assert lookups == {two.key}
        assert cache.read(two.key) == two.data
        assert cache.keys() == lookups >= {two.key}
        assert one.key not in lookups or column == "data"
        assert len(cache.damaged()) == 1
        with pytest.raises(CacheError):
            cache.read(one.key)
        assert len(cache.set_aside()) == 1
        cache.put([one])
        assert cache.read(one.key) == one.data and not cache.damaged()


def test_damage_of_other_tables_is_named_and_dropped(tmp_path, capsys):
    with Cache(tmp_path) as cache:
        cache.save_facts("mine", site_factory.network())
        cache.checkpoint("a pass").save(b"half of it")
        cache.image_digests.update({("/cat.png", 90, 1): "aa", ("/dog.png", 9, 2): "bb"})
        cache.put([dataclasses.replace(artifact("one"), slot="conv1")])
        assert cache.verify().others == ()
        cache.execute("update networks set facts = replace(facts, 'tench', 'trench')")
        cache.execute("update checkpoints set data = x'00'")
        cache.execute("update image_digests set sha256 = 'cc' where n_bytes = 90")
        cache.execute("update slots set key = 'others'")
        assert len(cache.verify().others) == 4
        assert cache.facts("mine") is None
        assert cache.checkpoint("a pass").load() is None
        assert dict(cache.image_digests) == {("/dog.png", 9, 2): "bb"}
        cache.set_aside()
        assert cache.verify().others == ()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all(line.startswith("Damaged in ") for line in said)


def test_rows_that_have_the_same_key_or_are_missing_in_the_index_are_mended(tmp_path):
    with Cache(tmp_path) as cache:
        for number in range(8):
            cache.put(batch(number))
        pages = cache.select("select rootpage from sqlite_master where name like '%autoindex%'")
        (size,) = cache.select("pragma page_size")[0]
        cache.execute("pragma journal_mode = delete")
    whole = bytearray((tmp_path / FILE_NAME).read_bytes())
    whole[whole.index(batch(3)[3].key.encode())] ^= 1  # in the table or in its index
    (tmp_path / FILE_NAME).write_bytes(whole)
    assert pages and size
    with Cache(tmp_path) as cache:
        cache.set_aside()
        every, there = [one for number in range(8) for one in batch(number)], cache.keys()
        cache.put([one for one in every if one.key not in there])
        assert [cache.read(one.key) for one in every] == [one.data for one in every]
        assert cache.verify().damaged == () and cache.verify().others == ()


def test_a_cache_in_use_is_not_removed(tmp_path):
    with Cache(tmp_path) as cache, Cache(tmp_path):
        cache.put(batch(0))
        with pytest.raises(CacheError, match=r"in use; wait for the build"):
            remove_cache(tmp_path)
        with pytest.raises(CacheError, match=r"in use; wait for the build"):
            Cache(tmp_path, alone=True)
        assert len(cache.keys()) == BATCH
    (tmp_path / f"{FILE_NAME}.bak").write_text("mine")
    assert remove_cache(tmp_path) >= 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{FILE_NAME}.bak"]


def test_two_builds_share_a_cache(tmp_path):
    with Cache(tmp_path) as one, Cache(tmp_path) as other:
        for number in range(4):
            (one, other)[number % 2].put(batch(number))
            assert one.keys() == other.keys()
            assert len(one.of_kind("excitatory")) == BATCH * (number + 1)


def test_an_old_cache_that_cannot_be_brought_to_this_version_stays_as_it_was(tmp_path, monkeypatch):
    old = cache_of_version_3(tmp_path, *batch(0))
    (n_pages,) = old.execute("pragma page_count").fetchone()
    before = [*old.iterdump()]
    old.close()
    connect = sqlite3.connect

    def connect_full(*args: object, **options: object) -> sqlite3.Connection:
        db = connect(*args, **options)
        db.execute(f"pragma max_page_count = {n_pages}")
        return db

    monkeypatch.setattr(atlas.database.sqlite3, "connect", connect_full)
    with pytest.raises(CacheError, match="free some space"):
        Cache(tmp_path)
    monkeypatch.undo()
    db = sqlite3.connect(tmp_path / FILE_NAME, timeout=1)
    assert db.execute("pragma user_version").fetchone() == (3,)
    assert [*db.iterdump()] == before
    db.execute("begin immediate")  # nobody holds it any more
    db.close()
    with Cache(tmp_path) as cache:
        assert len(cache.keys()) == BATCH


def test_facts_that_another_version_wrote_are_read_from_the_network_again(tmp_path):
    with Cache(tmp_path) as cache:
        for text in (FACTS_3, "{}", "not JSON"):
            row = ("mine", text)
            cache.execute("insert or replace into networks values (?,?,?)", *row, seal(row))
            assert cache.facts("mine") is None


def test_a_cache_that_must_exist_is_not_made(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(CacheError, match=f"no cache in {folder}; .*--cache"):
            Cache(folder, must_exist=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    with Cache(tmp_path / "made") as cache:
        cache.put(batch(0))
    with Cache(tmp_path / "made", must_exist=True) as cache:
        assert len(cache.keys()) == BATCH


def test_what_has_the_same_slot_is_superseded(cache):
    first, other, plain = (artifact(name) for name in ("first", "other", "plain"))
    cache.put([dataclasses.replace(first, slot="conv1"), dataclasses.replace(other, slot="fc")])
    cache.put([plain])
    assert cache.keys() == {first.key, other.key, plain.key}
    second = dataclasses.replace(artifact("second"), slot="conv1")
    spoilt = dataclasses.replace(artifact("spoilt"), unit=None)
    with pytest.raises(CacheError):
        cache.put([second, spoilt])  # all of it or nothing
    assert cache.keys() == {first.key, other.key, plain.key}
    cache.put([second])
    assert cache.keys() == {second.key, other.key, plain.key}
    cache.put([second, artifact("more")])
    assert cache.read(second.key) == second.data


def test_checkpoints_are_kept_until_they_are_dropped(tmp_path):
    with Cache(tmp_path) as cache:
        one, other = cache.checkpoint("one pass"), cache.checkpoint("another")
        assert one.load() is None
        for data in (b"a third", b"two thirds"):
            one.save(data)
        other.save(b"half")
    with Cache(tmp_path) as cache:
        assert cache.checkpoint("one pass").load() == b"two thirds"
        cache.checkpoint("one pass").drop()
        assert cache.checkpoint("one pass").load() is None
        assert cache.checkpoint("another").load() == b"half"


def test_checkpoints_that_nobody_took_up_for_30_days_are_dropped(cache):
    for name, days in (("old", 31), ("recent", 29)):
        cache.checkpoint(name).save(name.encode())
        key = hashlib.sha256(name.encode()).hexdigest()
        saved_at = time.time() - days * DAY_S
        cache.execute("update checkpoints set saved_at = ? where key = ?", saved_at, key)
    recent = cache.checkpoint("recent")  # any new work looks
    assert cache.execute("select data from checkpoints") == [(b"recent",)]
    recent.save(b"taken up")
    age_s = "select ? - saved_at from checkpoints"
    assert cache.execute(age_s, time.time())[0][0] < DAY_S


def test_digests_of_images_are_remembered(tmp_path):
    cat, grown, dog = ("/cat.png", 90, 1), ("/cat.png", 91, 2), ("/dog.png", 90, 1)
    with Cache(tmp_path) as cache:
        known = cache.image_digests
        assert len(known) == 0 and cat not in known
        known[cat] = "aa"
        known.update({grown: "bb", dog: "cc"})
        assert dict(known) == {cat: "aa", grown: "bb", dog: "cc"}
    with Cache(tmp_path) as cache:
        known = cache.image_digests
        assert dict(known) == {cat: "aa", grown: "bb", dog: "cc"}
        known[cat] = "dd"
        del known[dog]
        assert dog not in known
        with pytest.raises(KeyError):
            del known[dog]
    with Cache(tmp_path) as cache:
        assert dict(cache.image_digests) == {cat: "dd", grown: "bb"}


@pytest.mark.parametrize("content", [b"a text file, and no small one\n" * 99, os.urandom(5000)])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(CacheError, match="not a database; move it away") as refused:
        Cache(tmp_path)
    assert "\n" not in str(refused.value)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_torn_database_is_refused_in_one_line(tmp_path):
    with Cache(tmp_path) as cache:
        for number in range(10):
            cache.put(batch(number))
    whole = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole[: len(whole) // 2])
    with (
        pytest.raises(CacheError, match="malformed; move it away") as refused,
        Cache(tmp_path) as torn,
    ):
        torn.damaged()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("place", ["a file", "a file/inside", "/proc/atlas"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, place):
    (tmp_path / "a file").write_text("mine")
    with pytest.raises(CacheError, match="give a folder that can be written with --cache"):
        Cache(tmp_path / place)
    assert (tmp_path / "a file").read_text() == "mine"


def test_a_full_disk_keeps_what_is_done(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put(batch(0))
        (n_pages,) = cache._database.db.execute("pragma page_count").fetchone()
        cache._database.db.execute(f"pragma max_page_count = {n_pages + 8}")
        with pytest.raises(CacheError, match="full; free some space"):
            cache.put(batch(1))
        assert not cache.entries(one.key for one in batch(1))
    with Cache(tmp_path) as cache:
        assert [cache.read(one.key) for one in batch(0)] == [one.data for one in batch(0)]
        cache.put(batch(1))


def test_a_writer_waits_for_another_and_says_so_at_last(tmp_path, cache):
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("begin immediate")
    cache._database.db.execute("pragma busy_timeout = 50")
    with pytest.raises(CacheError, match="another build"):
        cache.put(batch(0))
    other.execute("rollback")
    cache.put(batch(0))


def test_remove_cache_takes_its_own_files_only(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put(batch(0))
    (tmp_path / "notes.txt").write_text("mine")
    assert remove_cache(tmp_path) >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert remove_cache(tmp_path) == 0
    assert remove_cache(tmp_path / "nowhere") == 0
