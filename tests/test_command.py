"""The command: what it builds, what it says, and how it refuses."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import torch
from safetensors.torch import save_file

import atlas.database
from atlas import __version__
from atlas.cache import BOARD_NAMES, FILE_NAME, Artifact, Cache
from atlas.cluster.board import Board, Doing
from atlas.cluster.scheduling import Failure
from atlas.families import find_family
from atlas.families.demo.drawings import DRAWINGS
from atlas.pipeline import Atlas
from atlas.seals import seal
from atlas.site import record
from atlas.units import Unit

ROOT = Path(__file__).parents[1]
DEMO = ("--demo", "--preset", "preview", "--kinds", "excitatory,filter")
PART = ("--layers", "conv1,fc", "--units", "0-3")
WITHOUT_TORCH = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
loaded = {"torch", "torchvision"} & set(sys.modules)
assert not loaded, loaded
"""


def load_command() -> click.Group:
    spec = importlib.util.spec_from_file_location("atlas_command", ROOT / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


main = load_command()


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Folders:
    out: Path
    cache: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("--out", str(self.out), "--cache", str(self.cache))

    def copied_to(self, folder: Path) -> Folders:
        shutil.copytree(self.out, folder / "site")
        shutil.copytree(self.cache, folder / "cache")
        return Folders(folder / "site", folder / "cache")


def run(*args: object) -> Result:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        main([str(arg) for arg in args], prog_name="build.py")
    return Result(int(stop.value.code or 0), out.getvalue(), err.getvalue())


def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
    """Run the command in a process of its own."""
    command = [sys.executable, *(str(arg) for arg in args)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def assert_refused(result: Result, *words: str) -> None:
    """Exit 2 and, beside progress, one line that has these words in it."""
    assert result.code == 2, result
    assert result.out == ""
    lines = [line for line in re.split(r"[\r\n]+", result.err) if line.strip()]
    (line,) = (line for line in lines if not re.search(r" done, [\d:,]+", line))
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


def n_rendered(result: Result) -> tuple[int, int]:
    """How much was made, and how much was there."""
    assert result.code == 0, result.err
    found = re.match(r"([\d,]+) pictures and panels made, ([\d,]+) were there", result.out)
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Folders:
    """A small finished build; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("built")
    folders = Folders(folder / "site", folder / "cache")
    assert n_rendered(run(*DEMO, *PART, *folders.options)) == (16, 0)
    return folders


@pytest.fixture
def folders(tmp_path) -> Folders:
    return Folders(tmp_path / "site", tmp_path / "cache")


# What it builds


def test_a_finished_build_renders_nothing_and_writes_nothing(built):
    before = {path: path.stat().st_mtime_ns for path in built.out.rglob("*") if path.is_file()}
    result = run(*DEMO, *PART, *built.options)
    assert n_rendered(result) == (0, 16)
    assert re.search(r": 0 written, [\d,]+ unchanged, 0 removed", result.out)
    assert before == {
        path: path.stat().st_mtime_ns for path in built.out.rglob("*") if path.is_file()
    }


def test_more_of_the_network_renders_only_what_is_missing(built, tmp_path):
    copy = built.copied_to(tmp_path)
    asked = (*DEMO, "--layers", "conv1", "--units", "2-5", *copy.options)
    first, again = run(*asked), run(*asked)
    assert n_rendered(first) == (4, 4)
    assert re.search(r"^  stem +2 +00:\d\d +[\d,]+ ms +[\d,]+$", first.out, re.M)  # synthesised
    assert n_rendered(again) == (0, 8) and "stem" not in again.out


def test_classes_are_chosen_by_label_and_index(built, tmp_path):
    copy = built.copied_to(tmp_path)
    wanted = f"{DRAWINGS[5].label},0"
    assert n_rendered(run(*DEMO, "--classes", wanted, *copy.options)) == (2, 2)


def test_labels_with_commas_choose_their_classes(folders, tmp_path):
    labels = ["tench, Tinca tinca", "crane, bird", "crane, machine"]
    labels += [f"thing {index}, with a comma" for index in range(3, len(DRAWINGS))]
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    asked = (*DEMO, "--labels", tmp_path / "labels.txt", *folders.options)
    for wanted, n_made, n_there in (
        (["tench, Tinca tinca"], 2, 0),
        (["tench"], 0, 2),
        (["crane, machine,thing 4, with a comma"], 4, 0),
        (["crane, bird", "5", "Tinca tinca"], 4, 2),
    ):
        classes = [part for text in wanted for part in ("--classes", text)]
        assert n_rendered(run(*asked, *classes)) == (n_made, n_there), wanted
        status = run(*asked, *classes, "status").out
        assert f"{n_made + n_there} of {n_made + n_there} pictures and panels are done" in status
    pages = sorted(path.name for path in (folders.out / "fc").glob("0*.html"))
    assert pages == [f"{index:04d}.html" for index in (0, 1, 2, 4, 5)]
    assert "tench, Tinca tinca" in (folders.out / "fc" / "0000.html").read_text(encoding="utf-8")


def test_a_kind_brings_what_it_is_made_from(folders):
    asked = ("--demo", "--layers", "conv1,fc", *folders.options)
    n_made, n_there = n_rendered(run(*asked, "--kinds", "examples"))
    # Per layer what all of its units answer to the drawings, and a sheet for every nine units.
    assert (n_made, n_there) == (2 + sum(-(-n // 9) for n in (16, len(DRAWINGS))), 0)
    assert n_rendered(run(*asked, "--kinds", "examples")) == (0, n_made)
    page = (folders.out / "conv1" / "0003.html").read_text(encoding="utf-8")
    assert "In photographs" in page and 'src="examples-00.webp"' in page
    assert (folders.out / "conv1" / "examples-00.webp").is_file()
    assert n_rendered(run(*asked, "--kinds", "filter"))[0] == 16 + len(DRAWINGS)
    assert (folders.out / "conv1" / "examples-00.webp").is_file()  # though nobody names it now
    run(*asked, "--kinds", "photographs")  # are shown in its place
    page = (folders.out / "conv1" / "0003.html").read_text(encoding="utf-8")
    assert 'src="../photographs/p0' in page and "examples-00" not in page
    assert not (folders.out / "conv1" / "examples-00.webp").exists()
    run(*asked, "--kinds", "filter", "--leave-out", "photographs")
    assert (folders.out / "conv1" / "examples-00.webp").is_file()


def test_a_dry_run_counts_and_makes_nothing(folders):
    result = run(*DEMO, *PART, *folders.options, "--dry-run")
    assert result.code == 0
    assert "0 of 16 pictures and panels are done, 16 are missing" in result.out
    assert not folders.out.exists()


def test_status_tells_what_is_done_what_is_missing_and_how_long_it_takes(built):
    result = run("status", *DEMO, "--layers", "conv1", "--units", "0-7", *built.options)
    assert result.code == 0
    assert re.search(r"conv1 +8 of +16  8 missing", result.out)
    assert "8 of 16 pictures and panels are done, 8 are missing; cache" in result.out
    assert re.search(r"Time left at the speed measured so far: \d\d:\d\d", result.out)


def test_status_shows_which_worker_does_what(built, tmp_path):
    copy = built.copied_to(tmp_path)
    with Board(copy.cache) as board:
        board.show([Doing("worker 1", "host", "H100", "excitatory of conv1, 9 artifacts", 4, 9)])
        result = run("status", *DEMO, *PART, *copy.options)
    words = "  worker 1 (H100 on host): excitatory of conv1, 9 artifacts, for 4 s; 9 made"
    assert words in result.out.splitlines()


def test_what_workers_could_not_make_is_named_and_the_exit_code_is_3(built, monkeypatch):
    build, unit = Atlas.build, Unit("conv1", 3)
    failures = (Failure(unit, "excitatory", "key", "RuntimeError: poison"),)
    monkeypatch.setattr(
        Atlas, "build", lambda self: dataclasses.replace(build(self), failures=failures)
    )
    result = run(*DEMO, *PART, *built.options)
    assert result.code == 3
    assert "Not made: excitatory of conv1:3: RuntimeError: poison" in result.err.splitlines()
    assert "16 were there" in result.out


@pytest.mark.parametrize("workers", [("--cluster", "local"), ("--device", "cpu,cpu")])
def test_without_ray_workers_are_one_line_that_says_what_to_install(folders, monkeypatch, workers):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(*DEMO, *PART, *folders.options, *workers)
    assert_refused(result, "several workers need Ray", "pip install 'network-atlas[cluster]'")


def test_a_cluster_that_does_not_answer_is_one_line(folders):
    result = run(*DEMO, *PART, *folders.options, "--cluster", "127.0.0.1:1")
    assert_refused(result, "no Ray cluster answers at 127.0.0.1:1", "ray start")


def test_all_gpus_where_there_is_none_is_one_line(folders, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    result = run(*DEMO, *PART, *folders.options, "--device", "all")
    assert_refused(result, "no GPU on this machine", "leave --device out")


def test_options_count_before_and_after_a_sub_command_and_the_later_wins(built):
    asked = (*DEMO, *PART, *built.options)
    before, after = run(*asked, "status"), run("status", *asked)
    assert before.out == after.out
    assert "16 of 16 pictures and panels are done" in before.out
    narrowed = run(*asked, "status", "--units", "0-1")
    assert "8 of 8 pictures and panels are done" in narrowed.out


# Without torch


@pytest.mark.parametrize("args", [["--help"], ["status", "--help"], ["clean", "--help"]])
def test_help_does_not_wait_for_torch(args):
    process = start("-c", WITHOUT_TORCH, "build.py", *args)
    out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"Usage: build.py" in out


@pytest.mark.parametrize("command", [[], ["status"]], ids=["build", "status"])
def test_a_finished_build_needs_no_torch(built, command):
    process = start("-c", WITHOUT_TORCH, "build.py", *command, *DEMO, *PART, *built.options)
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()


def test_help_has_every_option_and_sub_command():
    text = run("--help").out
    options = [name for param in main.params for name in param.opts]
    assert len(options) >= 13
    assert all(name in text for name in (*options, *main.commands))
    assert all(param.help for param in main.params)
    assert "\n    python build.py --demo  " in text
    assert run("--version").out == f"atlas, version {__version__}\n"


# Bad input


def truncated(path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    path.write_bytes(path.read_bytes()[:5000])


def text(path: Path) -> None:
    path.write_text("these are no weights\n")


def code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"conv1.weight": os.system}, 2))


def another_network(path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3), "fc.weight": torch.zeros(9, 8)}, path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (truncated, "truncated or damaged"),
        (text, "is no weights file"),
        (code, "is a pickle, but none of torch.save"),
        (another_network, "has no tensor of ResNet-50, but fc.weight, features.0.weight"),
        (Path.mkdir, "is a folder"),
        (lambda path: None, "No such file"),
    ],
    ids=["truncated", "text", "code", "another network", "folder", "missing"],
)
def test_a_bad_weights_file_is_one_line(folders, tmp_path, make, words):
    path = tmp_path / "mine.pth"
    make(path)
    result = run("--weights", path, *folders.options)
    assert_refused(result, str(path), words)
    assert not folders.out.exists()


def test_an_unknown_weights_name_is_one_line(folders):
    assert_refused(run("--weights", "IMAGENET1K_V9", *folders.options), "IMAGENET1K_V2")


def test_weights_that_cannot_be_downloaded_are_one_line_with_two_ways_on(
    folders, tmp_path, monkeypatch
):
    def fail(*_args: object, **_options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    assert_refused(run(*folders.options), "Name or service not known", "--weights FILE", "--demo")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--layers", "conv9"), ("no layer 'conv9'", "closest: conv1")),
        (("--layers", "conv1,layer7.*"), ("no layer 'layer7.*'",)),
        (("--classes", DRAWINGS[3].label + "x"), ("closest: ", DRAWINGS[3].label)),
        (("--classes", "999"), ("no class '999'",)),
        (("--layers", "conv1", "--units", "9999"), ("unit 9999 is out of range for conv1",)),
        (("--units", "zero"), ("write them like 0-15,40",)),
        (("--units", "5-2"), ("write 2-5",)),
        (("--labels", "/nowhere/labels.txt"), ("cannot read the labels", "No such file")),
        (("--labels", str(ROOT)), ("cannot read the labels", "Is a directory")),
        (("--names", "/nowhere/names.json"), ("cannot read the names", "No such file")),
        (("--device", "cuda:99", *PART), ("no device 'cuda:99'", "there is cpu")),
        (("--device", "abacus", *PART), ("no device 'abacus'",)),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_what_is_not_there_is_one_line(folders, options, words):
    assert_refused(run(*DEMO, *folders.options, *options), *words)
    assert not folders.out.exists()


@pytest.mark.parametrize("command", [("--dry-run",), ("status",)])
def test_a_device_that_is_not_there_is_refused_where_nothing_is_made(built, command):
    result = run(*command, *DEMO, *PART, *built.options, "--device", "abacus")
    assert_refused(result, "no device 'abacus'")


@pytest.fixture(scope="module")
def no_images(tmp_path_factory) -> tuple[str, ...]:
    """A network that brings no photographs along, with weights of its own for two classes."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(find_family("resnet18").build(2).state_dict(), path)
    return ("--model", "resnet18", "--weights", str(path), "--layers", "conv1")


@pytest.mark.parametrize("kind", ["natural", "examples", "filter,natural"])
def test_kinds_that_need_photographs_are_refused_where_there_are_none(folders, no_images, kind):
    result = run(*no_images, "--kinds", kind, *folders.options)
    assert_refused(result, f"nothing of kind {kind.split(',')[-1]!r} can be made", "--images")
    assert not folders.out.exists()


def test_without_photographs_all_other_kinds_are_there(folders, no_images):
    assert "0 of 0" not in run(*no_images, *folders.options, "--dry-run").out
    assert n_rendered(run(*no_images, "--kinds", "filter", *folders.options)) == (64, 0)


def test_labels_of_the_wrong_length_are_counted(folders, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("one\ntwo\n")
    result = run(*DEMO, "--labels", path, *folders.options)
    assert_refused(result, f"has 2 labels, the weights have {len(DRAWINGS)} classes")


@pytest.mark.parametrize("place", ["a file", "a file/inside", "/proc/atlas"])
def test_a_cache_that_cannot_be_written_is_one_line(folders, tmp_path, place):
    (tmp_path / "a file").write_text("mine")
    result = run(*DEMO, *PART, "--out", folders.out, "--cache", tmp_path / place)
    assert_refused(result, "cannot use the cache", "--cache")
    assert (tmp_path / "a file").read_text() == "mine"


@pytest.mark.parametrize("place", ["a file", "a file/inside", "/proc/atlas"])
def test_a_site_that_cannot_be_written_is_one_line_and_loses_nothing(built, tmp_path, place):
    copy = built.copied_to(tmp_path)
    (tmp_path / "a file").write_text("mine")
    result = run(*DEMO, *PART, "--out", tmp_path / place, "--cache", copy.cache)
    assert_refused(result, str(tmp_path / place), "--out")
    assert (tmp_path / "a file").read_text() == "mine"
    assert n_rendered(run(*DEMO, *PART, *copy.options)) == (0, 16)


def test_a_site_of_someone_else_is_left_alone(built, tmp_path):
    (tmp_path / "index.html").write_text("my own page")
    result = run(*DEMO, *PART, "--out", tmp_path, "--cache", built.cache)
    assert_refused(result, "not an atlas", "--out")
    assert (tmp_path / "index.html").read_text() == "my own page"


def test_a_cache_of_another_version_is_one_line(built, tmp_path):
    copy = built.copied_to(tmp_path)
    db = sqlite3.connect(copy.cache / FILE_NAME)
    db.execute("pragma user_version = 99")
    db.close()
    assert_refused(run(*DEMO, *PART, *copy.options), "version 99", "clean cache")


def test_a_disk_that_fills_up_while_rendering_keeps_what_is_done(built, tmp_path, monkeypatch):
    copy = built.copied_to(tmp_path)
    connect = sqlite3.connect

    def connect_full(*args: object, **options: object) -> sqlite3.Connection:
        db = connect(*args, **options)
        (n_pages,) = db.execute("pragma page_count").fetchone()
        db.execute(f"pragma max_page_count = {n_pages}")
        return db

    more = (*DEMO, "--layers", "conv1", *copy.options)
    monkeypatch.setattr(atlas.database.sqlite3, "connect", connect_full)
    assert_refused(run(*more), "full", "free some space", "what is done is kept")
    monkeypatch.undo()
    rendered, there = n_rendered(run(*more))
    assert rendered > 0
    assert there >= 8


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_fills_up_while_writing_the_site_is_one_line(built, tmp_path, monkeypatch):
    out = tmp_path / "site"
    new_file = record._new_file
    monkeypatch.setattr(record, "_new_file", lambda path: os.open("/dev/full", os.O_WRONLY))
    result = run(*DEMO, *PART, "--out", out, "--cache", built.cache)
    assert_refused(result, "No space left", "free some space")
    monkeypatch.setattr(record, "_new_file", new_file)
    assert n_rendered(run(*DEMO, *PART, "--out", out, "--cache", built.cache)) == (0, 16)


# Ctrl-C


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(folders):
    asked = (*DEMO, *folders.options)
    process = start("build.py", *asked, env={**os.environ, "OMP_NUM_THREADS": "1"})
    seen = b""
    while b"filter " not in seen:
        chunk = os.read(process.stderr.fileno(), 1000)
        assert chunk, seen.decode()
        seen += chunk
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"run the same command again to go on" in err
    assert b"Traceback" not in err
    done, asked_for = re.search(
        r"([\d,]+) of ([\d,]+) pictures and panels are", run("status", *asked).out
    ).groups()
    assert 0 < int(done.replace(",", "")) < int(asked_for.replace(",", ""))


# clean


def test_clean_site_removes_what_a_build_wrote_and_nothing_else(built, tmp_path):
    copy = built.copied_to(tmp_path)
    mine = {copy.out / "CNAME", copy.out / "conv1" / "notes.txt", copy.out / "talks" / "one.html"}
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    result = run("clean", "site", "--yes", *copy.options)
    assert result.code == 0
    assert {path for path in copy.out.rglob("*") if path.is_file()} == mine
    assert (copy.cache / FILE_NAME).exists()
    assert n_rendered(run(*DEMO, *PART, *copy.options)) == (0, 16)


def test_clean_cache_removes_the_cache_and_nothing_else(built, tmp_path):
    copy = built.copied_to(tmp_path)
    (copy.cache / "notes.txt").write_text("mine")
    (copy.cache / BOARD_NAMES[0]).write_text("of a build that was killed")
    assert run("clean", "cache", "--yes", *copy.options).code == 0
    assert [path.name for path in copy.cache.iterdir()] == ["notes.txt"]
    assert (copy.out / "index.html").exists()


@pytest.mark.parametrize("what", ["site", "cache"])
def test_clean_asks_first(built, tmp_path, monkeypatch, what):
    copy = built.copied_to(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert run("clean", what, *copy.options).code == 1
    assert (copy.out / "index.html").exists()
    assert (copy.cache / FILE_NAME).exists()


def test_damaged_pictures_are_named_and_made_again_within_the_same_build(built, tmp_path):
    copy = built.copied_to(tmp_path)
    picture = (copy.out / "conv1" / "0002.webp").read_bytes()
    whole = bytearray((copy.cache / FILE_NAME).read_bytes())
    whole[whole.index(picture[100:160]) + 20] ^= 0xFF
    (copy.cache / FILE_NAME).write_bytes(whole)
    again = (*DEMO, *PART, "--out", tmp_path / "again", "--cache", copy.cache)
    assert run("verify", *copy.options).code == 1
    result = run(*again)
    assert n_rendered(result) == (1, 15)
    (line,) = [line for line in re.split(r"[\r\n]+", result.err) if "Damaged" in line]
    assert "1 artifacts (excitatory of conv1:2), which count as missing." in line
    assert run("verify", *copy.options).code == 0
    assert run("clean", "damaged", *copy.options).out == "0 damaged pictures removed.\n"
    assert (tmp_path / "again" / "conv1" / "0002.webp").read_bytes() == picture


def test_verify_names_what_is_damaged_and_repair_lets_a_build_mend_it(built, tmp_path):
    copy = built.copied_to(tmp_path)
    before = {path: path.read_bytes() for path in copy.out.rglob("*.*") if path.is_file()}
    sound = run("verify", *copy.options)
    assert sound.code == 0 and "excitatory         8 sound" in sound.out
    n_files = len(record.load(copy.out).files)
    assert f"{n_files} files as they were written" in sound.out and n_files > 60
    page = copy.out / "conv1" / "0002.html"
    page.write_bytes(page.read_bytes().replace(b"Unit 2", b"Eunice", 1))
    with sqlite3.connect(copy.cache / FILE_NAME) as db:
        db.execute("update artifacts set numbers = '{}' where unit = 'fc:1' and kind = 'filter'")
        db.execute("update networks set facts = '{}'")
    db.close()
    for options in ((), ("--repair",)):
        found = run("verify", *options, *copy.options)
        assert found.code == 1
        assert "  damaged: filter of fc:1\n" in found.out
        assert "  damaged: facts of demo" in found.out
        assert "  changed: conv1/0002.html\n" in found.out
    assert n_rendered(run(*DEMO, *PART, *copy.options)) == (1, 15)
    assert run("verify", *copy.options).code == 0
    assert {path: path.read_bytes() for path in before if path.name != record.FILE_NAME} == {
        path: data for path, data in before.items() if path.name != record.FILE_NAME
    }


def test_verify_of_nothing_finds_nothing(folders):
    assert run("verify", *folders.options).code == 0
    assert not folders.cache.exists()


def test_nothing_is_cleaned_while_a_build_runs(built, tmp_path):
    copy = built.copied_to(tmp_path)
    asked = (*DEMO, *copy.options)
    process = start("build.py", *asked, env={**os.environ, "OMP_NUM_THREADS": "1"})
    seen = b""
    while b"filter " not in seen:
        chunk = os.read(process.stderr.fileno(), 1000)
        assert chunk, seen.decode()
        seen += chunk
    for what in ("cache", "damaged", "likes"):
        assert_refused(run("clean", what, "--yes", *copy.options), "in use", "wait for the build")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (copy.cache / "notes.txt").write_text("mine")
    until = time.monotonic() + 60  # the process beside the build notices soon that it is gone
    while run("clean", "damaged", *copy.options).code and time.monotonic() < until:
        time.sleep(0.2)
    assert run("clean", "cache", "--yes", *copy.options).code == 0
    assert [path.name for path in copy.cache.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside/x", "con", "a\\b", "x" * 300])
def test_a_cache_of_others_cannot_write_outside(built, tmp_path, name):
    """Its layers have other names, and all its seals are right."""
    copy = built.copied_to(tmp_path)
    with sqlite3.connect(copy.cache / FILE_NAME) as db:
        ((source, facts, _),) = db.execute("select * from networks").fetchall()
        row = (source, facts.replace('"name":"conv1"', f'"name":{json.dumps(name)}'))
        assert row[1] != facts
        db.execute("update networks set facts = ?, seal = ?", (row[1], seal(row)))
    db.close()
    before = {path for path in tmp_path.rglob("*") if "new" not in path.parts}
    result = run(*DEMO, *PART, "--out", tmp_path / "new", "--cache", copy.cache)
    assert n_rendered(result) == (0, 16)  # such facts are not used but read anew
    inside = {path for path in tmp_path.rglob("*") if path.is_relative_to(tmp_path / "new")}
    assert {*tmp_path.rglob("*")} - inside <= before | {copy.cache / f"{FILE_NAME}-inuse"}
    assert (tmp_path / "new" / "conv1" / "0001.html").exists()


def test_rows_of_a_forged_cache_are_not_shown_for_other_units(built, tmp_path):
    copy = built.copied_to(tmp_path)
    with Cache(copy.cache) as cache:
        one = cache.of_kind("excitatory")[0]
        data = cache.read(one.key)
        forged = Artifact(one.key, "../../x:1", one.kind, 64, 64, one.numbers_json, 0.0, data)
        cache.put([forged])
    result = run(*DEMO, *PART, "--out", tmp_path / "new", "--cache", copy.cache)
    assert result.code == 0
    assert not [*tmp_path.rglob("x*")]


@pytest.mark.parametrize("what", ["damaged", "likes"])
def test_where_there_is_no_cache_nothing_in_it_can_be_cleaned(tmp_path, what):
    result = run("clean", what, "--cache", tmp_path / "nowhere")
    assert_refused(result, f"no cache in {tmp_path / 'nowhere'}", "--cache")
    assert list(tmp_path.iterdir()) == []


# serve


def test_serve_shows_the_site_to_this_machine_only(built):
    server = start("build.py", "serve", "--out", built.out, "--port", 0)
    try:
        address = server.stdout.readline().split()[0].decode()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        for page in ("", "conv1/0002.html", "conv1/"):
            with urllib.request.urlopen(address + page, timeout=10) as answer:
                assert b"<!doctype html>" in answer.read().lower()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(address + "../cache/" + FILE_NAME, timeout=10)
        port = int(address.rpartition(":")[2].rstrip("/"))
        with pytest.raises(OSError):  # another address of this same machine
            socket.create_connection(("127.0.0.2", port), timeout=2)
    finally:
        server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=30)
    assert (server.returncode, err) == (0, b"")


def test_serve_without_a_site_says_how_to_get_one(tmp_path):
    assert_refused(run("serve", "--out", tmp_path), "no site in", "python build.py")


def test_serve_on_a_port_in_use_names_it(built):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert_refused(run("serve", "--out", built.out, "--port", port), f"port {port}", "--port")


def test_what_is_left_out_stays_in_the_cache_and_off_the_site(built: Folders, tmp_path: Path):
    copy = built.copied_to(tmp_path)
    whole = run(*DEMO, *PART, *copy.options)
    less = run(*DEMO, *PART, "--leave-out", "excitatory", *copy.options)
    assert n_rendered(less)[0] == 0
    assert "thumbs" in whole.out and "thumbs" not in less.out
    assert not list(copy.out.rglob("0*.webp"))
    again = run(*DEMO, *PART, *copy.options)
    assert n_rendered(again)[0] == 0 and again.out.splitlines()[2:] == whole.out.splitlines()[2:]


def test_a_base_url_is_for_cards_only_and_checked(built: Folders, tmp_path: Path):
    copy = built.copied_to(tmp_path)
    result = run(*DEMO, *PART, "--base-url", "https://me.github.io/atlas", *copy.options)
    assert result.code == 0
    assert 'content="https://me.github.io/atlas/index.html"' in (copy.out / "index.html").read_text(
        encoding="utf-8"
    )
    assert_refused(run(*DEMO, *PART, "--base-url", "me.github.io", *copy.options), "--base-url")


def test_names_by_hand_are_shown_as_long_as_they_are_given(built: Folders, tmp_path: Path):
    copy, names = built.copied_to(tmp_path), tmp_path / "names.json"
    names.write_text('{"conv1:2": "edges of my own"}')
    page = copy.out / "conv1" / "0002.html"
    given = run(*DEMO, *PART, "--names", names, *copy.options)
    assert n_rendered(given)[0] == 0 and "edges of my own" in page.read_text(encoding="utf-8")
    run(*DEMO, *PART, *copy.options)
    assert "edges of my own" not in page.read_text(encoding="utf-8")
    names.write_text('{"conv1:999": "edges"}')
    refused = run(*DEMO, *PART, "--names", names, *copy.options)
    assert_refused(refused, "there is no unit 'conv1:999'")
