"""Whole builds of the demo network: resumed, killed, repeated, always the same atlas."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from test_command import run

import atlas.pipeline
from atlas.asked import AtlasSpec, Selection
from atlas.catalogue import Catalogue
from atlas.families.demo import FAMILY as DEMO
from atlas.families.family import no_images
from atlas.kinds.similar import KIND as SIMILAR
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.refresh import Refresher, Rhythm

ROOT = Path(__file__).resolve().parents[1]
PART = ("--layers", "conv1,layer1.0.*,fc", "--units", "0-1")
OPTIONS = ["--demo", "--preset", "preview", "--device", "cpu"]
SOME_ROWS = 40  # of those that a build of this part makes


def command(folder: Path, *more: str) -> list[str]:
    places = ["--cache", str(folder / "cache"), "--out", str(folder / "site")]
    return [sys.executable, str(ROOT / "build.py"), *OPTIONS, *PART, *places, *more]


def build(folder: Path, *more: str) -> str:
    done = run(*command(folder, *more)[2:])
    assert done.code == 0, done.err
    return done.out


def files(folder: Path) -> dict[str, str]:
    """Every file of the site but the writer's own record, by digest."""
    return {
        str(path.relative_to(folder / "site")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "site").rglob("*")
        if path.is_file() and path.name != ".atlas-files.json"
    }


def rows(folder: Path) -> dict[str, tuple[float, str]]:
    """What the cache holds: by key, when it was rendered takes a second to repeat exactly."""
    if not (folder / "cache" / "atlas.sqlite").exists():
        return {}
    with sqlite3.connect(folder / "cache" / "atlas.sqlite", timeout=30) as db:
        try:
            found = db.execute("select key, seconds, sha256 from artifacts").fetchall()
        except sqlite3.OperationalError:  # the schema is not committed yet
            return {}
    return {key: (seconds, sha256) for key, seconds, sha256 in found}


def start_and_wait_for_rows(folder: Path, n_rows: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(rows(folder)) < n_rows:
        assert process.poll() is None, "finished before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """An atlas built in one go."""
    folder = tmp_path_factory.mktemp("finished")
    build(folder)
    return folder


@pytest.mark.parametrize("n_rows", [1, SOME_ROWS])
def test_kill_and_run_again_gives_the_same_site(finished, tmp_path, n_rows):
    process = start_and_wait_for_rows(tmp_path, n_rows)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = rows(tmp_path)
    assert 0 < len(kept) < len(rows(finished))
    output = build(tmp_path)
    assert (
        f"{len(rows(finished)) - len(kept)} pictures and panels made, {len(kept)} were there"
        in output
    )
    assert {key: row for key, row in rows(tmp_path).items() if key in kept} == kept
    assert files(tmp_path) == files(finished)


def test_the_site_grows_while_it_renders_and_ends_the_same(finished, tmp_path, monkeypatch, capsys):
    eager = functools.partial(Refresher, rhythm=Rhythm(least_pause_s=0.1, pauses=1))
    monkeypatch.setattr(atlas.pipeline, "Refresher", eager)
    selection = Selection(layers=("conv1", "layer1.0.*", "fc"), units=(range(2),))
    spec = AtlasSpec(family="demo", preset="preview", selection=selection)
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    with Atlas(spec, places) as growing:
        plan = growing.plan()
        growing.render(plan)
        n_early = sum(path.is_file() for path in (tmp_path / "site").rglob("*"))
        report = growing.write()
    assert plan.n_missing == len(rows(finished))
    assert n_early > 50
    assert report.n_unchanged > 50
    assert files(tmp_path) == files(finished)
    assert capsys.readouterr().err.count(f"{places.out_dir / 'index.html'}\n") == 1


def test_a_second_run_renders_nothing_and_rewrites_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / "site").rglob("*")}
    output = build(finished)
    after = {path: path.stat().st_mtime_ns for path in (finished / "site").rglob("*")}
    assert "0 pictures and panels made" in output
    assert "0 written" in output
    assert before == after


def test_a_dry_run_renders_and_writes_nothing(tmp_path):
    output = build(tmp_path, "--dry-run")
    assert "are missing" in output
    assert rows(tmp_path) == {}
    assert not (tmp_path / "site").exists()


def test_parts_built_one_after_the_other_make_one_site(tmp_path):
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    for units in (range(4), range(2, 6)):
        part = Selection(layers=("conv1",), units=(units,))
        with Atlas(AtlasSpec("demo", preset="preview", selection=part), places) as growing:
            growing.build()
    pages = sorted(path.name for path in (tmp_path / "site" / "conv1").glob("0*.html"))
    assert pages == [f"{index:04d}.html" for index in range(6)]


# Photographs that are not given again. The demo brings drawings along; this network does not.
PLAIN = dataclasses.replace(DEMO, name="plain", images=no_images)
CATALOGUE = Catalogue(families=(PLAIN,))
CONV1 = Selection(layers=("conv1",), units=(range(2),))
KINDS = ("filter", "natural", "examples", "similar")
SHOWN = AtlasSpec(PLAIN.name, preset="preview", selection=CONV1, kinds=KINDS)


@pytest.fixture
def places(tmp_path) -> Places:
    """Where an atlas was made with photographs, which are not given any more."""
    (tmp_path / "photographs").mkdir()
    for level in (0, 90, 250):
        photo = Image.new("RGB", (64, 64), (level, 250 - level, 128))
        photo.save(tmp_path / "photographs" / f"{level}.png")
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    shown = dataclasses.replace(places, images_dir=tmp_path / "photographs")
    with Atlas(SHOWN, shown, CATALOGUE) as atlas:
        assert atlas.contents().entries == {}
        atlas.render(atlas.plan())
        found = atlas.contents().entries
        assert {*found["conv1"], *found["conv1:0"]} == {*KINDS}
    return places


def unit_page(places: Places, index: int) -> str:
    return (places.out_dir / "conv1" / f"{index:04d}.html").read_text(encoding="utf-8")


def test_photographs_stay_in_the_site_without_being_given_again(places, tmp_path):
    shown = dataclasses.replace(places, images_dir=tmp_path / "photographs")
    with Atlas(SHOWN, shown, CATALOGUE) as atlas:
        expected = atlas.contents().entries
        identity = atlas.asked.images_sha256
    shutil.rmtree(tmp_path / "photographs")
    before = rows(tmp_path)
    with Atlas(SHOWN, places, CATALOGUE) as atlas:
        assert atlas.asked.images_sha256 == identity
        assert atlas.plan().n_missing == 0
        assert atlas.contents().entries == expected
        atlas.render(atlas.plan())
        atlas.write()
    assert rows(tmp_path) == before
    for index in range(2):
        assert "In photographs" in unit_page(places, index)
        assert "Similar units" in unit_page(places, index)


def test_a_later_build_without_the_photographs_still_compares_by_them(places):
    before = rows(places.cache_dir.parent)
    wider = Selection(layers=("conv1", "layer1.0.conv1"), units=(range(2),))
    asked = dataclasses.replace(SHOWN, selection=wider, kinds=("excitatory", "similar"))
    with Atlas(asked, places, CATALOGUE) as atlas:
        plan = atlas.plan()
        assert {job.kind.name for job in plan.missing} == {"excitatory"}
        atlas.render(plan)
        atlas.write()
        similar = atlas.contents().layer_record(atlas.facts.layer("conv1"), SIMILAR)
    assert similar and similar.basis == "photographs"
    made = rows(places.cache_dir.parent)
    assert before.items() <= made.items() and len(made) == len(before) + 4
    for index in range(2):
        assert "Similar units" in unit_page(places, index)
        assert "answers to the same photographs" in unit_page(places, index)
        assert "In photographs" in unit_page(places, index)


def put_back_to_version_3(cache_dir: Path, weights_sha256: str) -> None:
    """A cache as an earlier program left it: other tables, other addresses, other facts."""
    db = sqlite3.connect(cache_dir / "atlas.sqlite")
    (numbers,) = db.execute("select numbers from artifacts where kind = 'natural'").fetchone()
    folder = {"folder_sha256": json.loads(numbers)["folder_sha256"], "size_px": 80}
    natural = {**folder, "n_top": 9, "n_sampled": 512}
    recipes = {
        "natural": {"name": "natural", "version": 2, **natural},
        "examples": {"name": "examples", "version": 1, "natural": natural, "side_px": 56},
        "similar": {"name": "similar", "version": 1},
    }
    rows = db.execute("select key, kind, unit from artifacts").fetchall()
    for key, kind, unit in rows:
        if kind in recipes:
            shared = {"weights": weights_sha256, "kind": kind, "recipe": recipes[kind]}
            text = json.dumps(shared, sort_keys=True, separators=(",", ":")) + unit
            old_key = hashlib.sha256(text.encode()).hexdigest()
            db.execute("update artifacts set key = ? where key = ?", (old_key, key))
    db.commit()
    db.executescript(
        """
        drop table slots; drop table old_addresses; drop table image_digests;
        drop table checkpoints; drop table seals; drop table networks;
        create table networks (source text primary key, facts text not null) without rowid;
        create table checkpoints (key text primary key, data blob not null);
        pragma user_version = 3;
        """
    )
    db.close()


def test_what_an_earlier_version_saw_in_photographs_stays_without_them(places):
    with Atlas(SHOWN, places, CATALOGUE) as atlas:
        expected, sha256 = atlas.contents().entries, atlas.facts.sha256
        n_missing = atlas.plan().n_missing
    put_back_to_version_3(places.cache_dir, sha256)
    assert n_missing == 0
    with Atlas(SHOWN, places, CATALOGUE) as atlas:
        assert [job.kind.name for job in atlas.plan().missing] == ["similar"]
        found = atlas.contents().entries
        assert found["conv1"]["natural"] == expected["conv1"]["natural"]
        assert found["conv1:0"] == expected["conv1:0"]
        atlas.render(atlas.plan())
        assert atlas.contents().layer_record(atlas.facts.layer("conv1"), SIMILAR)
        atlas.write()
    assert "In photographs" in unit_page(places, 0) and "Similar units" in unit_page(places, 0)


def test_what_is_left_out_takes_nothing_along_that_was_made_from_it(places):
    without = dataclasses.replace(places, left_out=("natural",))
    with Atlas(SHOWN, without, CATALOGUE) as atlas:
        assert atlas.plan().n_missing == 0
        atlas.write()
    for index in range(2):
        assert "Similar units" in unit_page(places, index)
        assert "In photographs" not in unit_page(places, index)


def test_a_comparison_that_is_out_of_date_makes_room_for_the_next(tmp_path):
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    kept = []
    for layers in (("conv1",), ("conv1", "layer1.0.conv1")):
        asked = AtlasSpec("demo", selection=Selection(layers=layers), kinds=("similar",))
        with Atlas(asked, places) as atlas:
            atlas.render(atlas.plan())
            kept.append(sorted(entry.unit for entry in atlas.cache.of_kind("similar")))
            assert atlas.plan().n_missing == 0
    assert kept == [["conv1"], ["conv1", "layer1.0.conv1"]]


def test_numbers_of_a_real_build_point_into_the_axes_of_their_layer(finished):
    layers = json.loads((finished / "site" / "manifest.json").read_bytes())["layers"]
    n_checked = 0
    for layer in layers:
        data = json.loads((finished / "site" / layer["units"]).read_bytes())
        if not layer["natural"]:  # of a layer that was not asked for
            continue
        files = data["axes"]["natural"]["files"]
        for unit in data["units"]:
            natural = unit["numbers"]["natural"]
            responses = [response for *_, response in natural["top"]]
            assert responses == sorted(responses, reverse=True)
            assert natural["highest"] == files[natural["top"][0][0]]
            n_checked += 1
    assert n_checked > 100


def test_status_counts_what_is_done(finished):
    output = build(finished, "status")
    n_pictures = len(rows(finished))
    assert f"{n_pictures:,} of {n_pictures:,} pictures and panels are done, 0 are missing" in output


def test_the_working_folder_does_not_matter(finished, tmp_path):
    done = subprocess.run(
        [*command(finished), "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "0 are missing" in done.stdout
    assert list(tmp_path.iterdir()) == []
