"""Caches of shards that are merged are the cache, and the site, of one build, byte for byte."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from test_command import assert_refused, n_rendered, run

from atlas.cache import FILE_NAME, Cache
from atlas.origin import KIND as ORIGIN

OPTIONS = (
    *("--demo", "--preset", "preview", "--device", "cpu", "--quiet"),
    *("--layers", "conv1,layer1.0.conv2,fc", "--units", "0-11"),
)
N_SHARDS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache and site of one build, and the caches of three shards."""
    folder = tmp_path_factory.mktemp("shards")
    n_rendered(run(*OPTIONS, "--cache", folder / "one", "--out", folder / "site"))
    for number in range(1, N_SHARDS + 1):
        shard = f"{number}/{N_SHARDS}"
        result = run(*OPTIONS, "--cache", folder / f"shard-{number}", "--shard", shard)
        assert result.code == 0, result.err
        assert result.out.startswith(f"Shard {shard}: ")
    assert not (folder / "shard-1" / "site").exists()
    return folder


def shards_of(made: Path) -> list[Path]:
    return [made / f"shard-{number}" for number in range(1, N_SHARDS + 1)]


def rows(cache: Path) -> dict[str, tuple[object, ...]]:
    """All that a cache has but for times, and for what says which shards it came from."""
    with sqlite3.connect(cache / FILE_NAME) as db:
        query = "select key, unit, kind, width_px, height_px, numbers, data from artifacts"
        return {row[0]: row for row in db.execute(query) if row[2] != ORIGIN}


def merge(cache: Path, *sources: Path):
    return run("merge", *sources, *OPTIONS, "--cache", cache)


def test_three_shards_merged_are_one_build_byte_for_byte(made: Path, tmp_path: Path):
    result = merge(tmp_path / "merged", *shards_of(made)[::-1])
    assert result.code == 0, result
    assert rows(tmp_path / "merged") == rows(made / "one")
    built = run(*OPTIONS, "--cache", tmp_path / "merged", "--out", tmp_path / "site")
    assert n_rendered(built) == (0, len(rows(made / "one")))
    assert files(tmp_path / "site") == files(made / "site")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_shards_share_the_work_and_photographs_are_in_all(made: Path):
    caches = [rows(cache) for cache in shards_of(made)]
    assert sum(map(len, caches)) == len({key for cache in caches for key in cache})
    assert all(any(row[2] == "natural part" for row in cache.values()) for cache in caches)
    assert not any(row[2] in ("natural", "similar") for cache in caches for row in cache.values())


def test_shards_that_come_later_complete_a_cache(made: Path, tmp_path: Path):
    first, second, third = shards_of(made)
    partly = merge(tmp_path / "merged", first, third)
    assert partly.code == 1
    assert "are missing (not merged: 2/3)" in partly.out
    assert merge(tmp_path / "merged", second).code == 0
    assert rows(tmp_path / "merged") == rows(made / "one")
    again = merge(tmp_path / "merged", first)
    assert again.code == 0 and again.out.startswith("0 artifacts copied, 0 made")


def test_a_build_goes_on_from_a_shard_and_from_a_part_of_them(made: Path, tmp_path: Path):
    shutil.copytree(made / "shard-2", tmp_path / "cache")
    again = run(*OPTIONS, "--cache", tmp_path / "cache", "--shard", "2/3")
    assert again.out.startswith("Shard 2/3: 0 pictures and panels made")
    merge(tmp_path / "cache", made / "shard-1")
    n_made, _ = n_rendered(run(*OPTIONS, "--cache", tmp_path / "cache", "--out", tmp_path / "site"))
    assert 0 < n_made < len(rows(made / "one"))
    assert files(tmp_path / "site") == files(made / "site")


def test_damage_is_left_out_and_named(made: Path, tmp_path: Path):
    shutil.copytree(made / "shard-1", tmp_path / "shard")
    with sqlite3.connect(tmp_path / "shard" / FILE_NAME) as db:
        (key,) = db.execute("select key from artifacts where kind = 'filter'").fetchone()
        db.execute("update artifacts set data = x'00' || substr(data, 2) where key = ?", [key])
    result = merge(tmp_path / "merged", tmp_path / "shard", *shards_of(made)[1:])
    assert result.code == 1 and "Damaged, left out: filter of " in result.err
    assert rows(made / "one").keys() - rows(tmp_path / "merged").keys() == {key}
    assert merge(tmp_path / "merged", made / "shard-1").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--preset", "standard"), ("shard-1 is of DemoNet", "preset preview", "preset standard")),
        (("--seed", "7"), ("seed 0", "seed 7", "give the options that the shards were made with")),
        (("--recipe", "progressive"), ("recipe fourier", "recipe progressive")),
    ],
)
def test_caches_of_another_recipe_are_refused_by_name(made: Path, tmp_path: Path, options, words):
    others = [*OPTIONS[:1], *OPTIONS[3:]] if "--preset" in options else OPTIONS
    result = run("merge", made / "shard-1", *others, *options, "--cache", tmp_path / "merged")
    assert_refused(result, *words)
    with Cache(tmp_path / "merged") as cache:
        assert cache.keys() == set()


def test_a_cache_that_no_shard_made_is_merged_or_refused_by_its_addresses(
    made: Path, tmp_path: Path
):
    result = merge(tmp_path / "merged", made / "one")
    assert result.code == 0 and rows(tmp_path / "merged") == rows(made / "one")
    result = run("merge", made / "one", *OPTIONS, "--seed", "7", "--cache", tmp_path / "other")
    assert_refused(result, "of another network, recipe", "it knows demo demo", "seed 7")


def test_what_cannot_be_merged_is_said(made: Path, tmp_path: Path):
    assert_refused(merge(tmp_path / "merged", tmp_path / "none"), "no cache in", "none")
    assert not (tmp_path / "merged").exists()
    assert_refused(merge(made / "shard-1", made / "shard-1"), "cannot be merged into itself")
    assert_refused(
        run("merge", made / "one", *OPTIONS, "--out", tmp_path), "merge has no use for --out"
    )
    assert_refused(run(*OPTIONS, "--shard", "1/2", "--out", tmp_path), "no use for --out")
    assert_refused(run(*OPTIONS, "--shard", "1/2", "--cluster", "local"), "cannot be combined")
    assert_refused(run(*OPTIONS, "--shard", "3/2"), "cannot read --shard '3/2'")


def test_a_dry_run_says_what_a_shard_would_make(made: Path, tmp_path: Path):
    result = run(*OPTIONS, "--cache", made / "shard-1", "--shard", "1/3", "--dry-run")
    assert result.code == 0
    n_shard = len(rows(made / "shard-1"))
    assert f"{n_shard} of {n_shard} pictures and panels are done" in result.out
