"""Whole builds over folders of other people's files: nothing lost, nothing wrong kept."""

from __future__ import annotations

import io
import json
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from terminal import Terminal
from test_command import ROOT, Folders, Result, assert_refused, n_rendered, run

from atlas.cache import Cache
from atlas.kinds.natural import NaturalRecord
from atlas.kinds.natural.make import Pass
from atlas.kinds.natural.tally import Tally
from atlas.text import MARK

SHOWN = ("--demo", "--layers", "conv1", "--kinds", "natural,examples")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "site", tmp_path / "cache")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Each case has one good image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (200, 100), "blue").save(folder / "good.jpg")
    return folder


def record(folders: Folders) -> NaturalRecord:
    (found,) = records(folders)
    return found


def records(folders: Folders) -> list[NaturalRecord]:
    with Cache(folders.cache) as cache:
        return [entry.record(NaturalRecord, "z") for entry in cache.of_kind("natural")]


def assert_stopped(result: Result, *words: str) -> None:
    """Exit 2, nothing on stdout, and one line of an error beside progress bars."""
    assert (result.code, result.out) == (2, "")
    (line,) = re.findall(r"^Error: .*$", result.err, re.M)
    assert all(word in line for word in words), line
    assert "Traceback" not in result.err


def damaged_avif() -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    avif = io.BytesIO()
    Image.effect_noise((200, 100), 50).convert("RGB").save(avif, "AVIF")
    return avif.getvalue()[:-60]


def test_a_phones_odd_tags_are_no_hindrance(folders, photos):
    entries = struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<HHI", 700, 2, 4) + b"<x>\0"
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    Image.new("RGB", (200, 100), "red").save(photos / "phone.jpg", exif=exif)
    result = run(*SHOWN, "--images", photos, *folders.options)
    assert n_rendered(result) and "skipped" not in result.err
    assert (record(folders).n_images, record(folders).n_skipped) == (2, 0)


def test_odd_files_are_skipped_counted_and_named_on_the_console_and_in_the_data(folders, photos):
    (photos / "web.jpg").write_bytes(damaged_avif())
    (photos / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (photos / "notes.txt").write_text("beside them")
    asked = (*SHOWN, "--images", photos, *folders.options)
    result = run(*asked)
    assert n_rendered(result)
    said = re.search(
        r"^2 of 3 photographs were skipped: 2 cannot be decoded \((.*)\)\.$", result.err, re.M
    )
    assert said and "photo.jpg: no image of a known format; web.jpg: " in said[1]
    assert "Left out beside the photographs: 1 .txt." in result.err
    found = record(folders)
    assert list(found.skipped) == ["photo.jpg", "web.jpg"] and len(found.skipped_because) == 2
    layers = json.loads((folders.out / "manifest.json").read_bytes())["layers"]
    assert layers[0]["natural"]["skipped_counts"] == {"cannot be decoded": 2}
    again = run(*asked)
    assert n_rendered(again)[0] == 0 and "2 of 3 photographs were skipped" in again.err


def test_no_photograph_that_can_be_used_is_an_error_at_every_run(folders, photos):
    (photos / "good.jpg").write_text("no image any more")
    for _ in range(2):
        result = run(*SHOWN, "--images", photos, *folders.options)
        assert_stopped(result, "no photograph can be used", "good.jpg: no image")
    with Cache(folders.cache) as cache:
        assert cache.of_kind("natural") == []


def test_a_file_that_vanishes_in_the_pass_stops_it_and_nothing_wrong_is_kept(
    folders, photos, monkeypatch
):
    from atlas import reading
    from atlas.images import ImageFolder

    monkeypatch.setattr(reading, "PAUSES_S", (0.01,))
    data = (photos / "good.jpg").read_bytes()
    (photos / "other.jpg").write_bytes(data)
    batches = ImageFolder.batches

    def vanishing(images, *args, **options):
        (photos / "other.jpg").unlink()
        yield from batches(images, *args, **options)

    monkeypatch.setattr(ImageFolder, "batches", vanishing)
    asked = (*SHOWN, "--images", photos, *folders.options)
    assert_stopped(run(*asked), "other.jpg now: No such file", "put it back")
    monkeypatch.setattr(ImageFolder, "batches", batches)
    (photos / "other.jpg").write_bytes(data)
    assert n_rendered(run(*asked))[0] == 3
    assert (record(folders).n_images, record(folders).n_skipped) == (2, 0)


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"d\xe9j\xe0/vu.jpg", b"a\x1b[2Jb.jpg"])
def test_names_that_are_not_utf_8_are_shown_somehow(folders, photos, name):
    path = Path((bytes(photos) + b"/" + name).decode("utf-8", "surrogateescape"))
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (100, 100), "red").save(path)
    asked = (*SHOWN, "--images", photos, *folders.options)
    assert n_rendered(run(*asked))[0] == 3
    assert n_rendered(run(*asked))[0] == 0
    (shown,) = (each for each in record(folders).files if each != "good.jpg")
    assert MARK in shown and (folders.out / "index.html").is_file()
    like = run("like", path, *SHOWN[:1], *folders.options)
    assert like.code == 0 and "\x1b" not in like.out, like.err
    page = Path(like.out.splitlines()[-1].removeprefix("Page: "))
    shown_name = path.name if path.name.isascii() and path.name.isprintable() else MARK
    assert shown_name in page.read_text(encoding="utf-8")
    assert n_rendered(run(*asked))[0] == 0


def test_like_refuses_in_one_line_what_cannot_be_reached(folders):
    assert_refused(run("like", "x" * 5000 + ".jpg", "--demo", *folders.options), "cannot read xxx")
    assert_refused(
        run("like", "a\x1b[2J\nb.jpg", "--demo", *folders.options), f"no file a{MARK}[2J b"
    )


def test_the_site_in_the_folder_of_photographs_is_no_photograph(photos):
    own = Folders(photos / "site", photos / "cache")
    asked = (*SHOWN, "--images", photos, *own.options)
    assert n_rendered(run(*asked))[0] == 3
    assert n_rendered(run(*asked)) == (0, 3)


# Interruptions


@pytest.fixture
def many(photos: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(600):
        pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((200, 150))
        image.save(photos / f"{index:03}.jpg")
    return photos


def saved_state(folders: Folders) -> Tally:
    with sqlite3.connect(folders.cache / "atlas.sqlite") as db:
        ((data,),) = db.execute("select data from checkpoints").fetchall()
    return Tally.from_bytes(data)


def interrupted(asked: tuple[object, ...], n_seen: int) -> str:
    """Press Ctrl-C once the bar says that so many of 601 photographs were shown."""
    terminal = Terminal()
    process = subprocess.Popen(
        [sys.executable, "build.py", *map(str, asked)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=terminal.writer,
    )
    text, is_stopped = "", False
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    for piece in terminal.written():
        text += piece
        shares = re.findall(r"photographs +(\d+)%", text)
        if shares and 601 * (int(shares[-1]) - 1) / 100 >= n_seen and not is_stopped:
            process.send_signal(signal.SIGINT)
            is_stopped = True
    process.wait()
    watchdog.cancel()
    assert process.returncode == 130, text
    return text


def test_ctrl_c_in_a_short_pass_keeps_what_is_done(folders, many, monkeypatch):
    asked = ("--demo", "--kinds", "natural", "--images", many)
    done = 0
    for wanted in (30, 150):
        interrupted((*asked, *folders.options), wanted)
        n_done = saved_state(folders).n_files
        assert n_done >= max(wanted, done)
        done = n_done
    shown: list[int] = []
    process = Pass._process
    monkeypatch.setattr(
        Pass, "_process", lambda self, batch: (shown.append(len(batch)), process(self, batch))
    )
    assert n_rendered(run(*asked, *folders.options))[0] == 13
    assert sum(shown) == 601 - done  # nothing is shown to the network again
    whole = Folders(folders.out.parent / "site 2", folders.out.parent / "cache 2")
    run(*asked, *whole.options)
    assert records(folders) == records(whole)


def test_a_damaged_checkpoint_is_dropped_with_a_word(folders, many):
    asked = (*SHOWN, "--images", many, *folders.options)
    interrupted(asked, 60)
    with sqlite3.connect(folders.cache / "atlas.sqlite") as db:
        ((data,),) = db.execute("select data from checkpoints").fetchall()
        middle = len(data) // 2
        changed = data[:middle] + bytes(64) + data[middle + 64 :]
        assert changed != data
        db.execute("update checkpoints set data = ?", (changed,))
    result = run(*asked)
    assert n_rendered(result)[0] == 3
    assert "an interrupted pass; it begins anew" in result.err
    assert record(folders).n_images == 601
