"""An image that is looked up finds the units it drives, and has a page until it is forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import IMAGE_PX, Planted, make_network
from PIL import Image
from test_command import Folders, assert_refused, run
from test_natural import RED_UNIT

from atlas.on_demand.like import LikeSpec
from atlas.on_demand.like.make import hardest_driven
from atlas.paths import slug

DEMO = ("--demo", "--preset", "preview")


def test_a_red_image_drives_the_red_unit_hardest():
    torch.manual_seed(0)  # some classifiers leave nothing to the second class
    planted = make_network(Planted())
    pixels = np.full((IMAGE_PX, IMAGE_PX, 3), (250, 10, 10), np.uint8)
    watch = planted.watch(planted.facts.layers)
    found = hardest_driven(watch, pixels, LikeSpec("0" * 64, n_units=2), "1" * 64, "red.png")
    assert (found.weights, found.name) == ("1" * 64, "red.png")
    first = found.units["conv1"]
    assert first[0] == [RED_UNIT, pytest.approx(4 * (250 - 10) / 255 / 0.25, rel=0.01)]
    assert list(found.units) == [layer.name for layer in planted.facts.layers]
    (first_class, logit), (second_class, other) = found.units["fc"]
    ratio = found.p[str(first_class)] / found.p[str(second_class)]
    assert ratio == pytest.approx(np.exp(logit - other), rel=0.02)


def test_names_of_pages_are_safe_and_never_collide():
    assert slug("My Cat (2)", "abcdef0123") == "my-cat-2-abcdef01"
    assert slug("猫", "abcdef0123") == "abcdef01"
    assert slug("a/../b", "1" * 64) != slug("a/../b", "2" * 64)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "site", tmp_path / "cache")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "Red & <b>.png"
    Image.new("RGB", (100, 120), (250, 10, 10)).save(path)
    return path


def test_like_prints_each_layer_and_writes_a_page(folders: Folders, photo: Path):
    result = run("like", photo, *DEMO, *folders.options)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == photo.name
    assert lines[1].split()[0] == "conv1" and lines[1].endswith(" σ")
    assert "red " in lines[-2] and lines[-2].endswith(" logits")  # the class "red"
    page = Path(lines[-1].removeprefix("Page: "))
    html = page.read_text(encoding="utf-8")
    assert "Red &amp; &lt;b&gt;.png" in html and "<b>.png" not in html
    assert page.with_suffix(".webp").is_file()
    manifest = json.loads((folders.out / "manifest.json").read_bytes())
    assert manifest["likes"][0]["page"] == f"like/{page.name}"
    assert f'href="like/{page.name}"' in (folders.out / "index.html").read_text(encoding="utf-8")


def test_a_page_stays_until_it_is_forgotten(folders: Folders, photo: Path):
    first = run("like", photo, *DEMO, *folders.options)
    again = run("like", photo, *DEMO, *folders.options)
    assert again.out == first.out and "0 files written" in again.err
    page = Path(first.out.splitlines()[-1].removeprefix("Page: "))
    result = run("clean", "likes", "--cache", folders.cache)
    assert result.out == "1 images that were looked up removed.\n"
    run(*DEMO, "--layers", "conv1", "--kinds", "filter", *folders.options)
    assert not page.exists()


def test_what_is_no_image_is_refused_in_one_line(folders: Folders, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no image")
    assert_refused(run("like", tmp_path / "notes.txt", *DEMO, *folders.options), "as an image")
    assert_refused(run("like", tmp_path / "none.jpg", *DEMO, *folders.options), "no file")
