"""Files of others stay as they are, and nothing is written outside the site."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import site_factory

from atlas import paths
from atlas.errors import SiteError
from atlas.locks import Lock
from atlas.site import record
from atlas.site.checking import check_site, distrust
from atlas.site.contents import Contents
from atlas.site.writer import prepare_folder, remove_site, write_site
from atlas.units import NetworkFacts

ROOT = Path(__file__).resolve().parents[1]
UNSAFE = (
    "../outside",
    "/tmp/outside",
    "..",
    ".",
    "",
    "a/../../outside",
    "nul",
    "AUX.conv",
    "com1",
    "back\\slash",
    "C:outside",
    "nothing\0here",
    "line\nbreak",
    "trailing.",
    "trailing ",
    ".hidden",
    "x" * 300,
    "star*",
    "lone\udc80surrogate",
)


def small() -> Contents:
    return site_factory.contents(site_factory.network(n_blocks=(1,), width=4))[0]


def renamed(name: str) -> Contents:
    """An atlas whose first layer has another name, as a cache of others may hold it."""
    contents = small()
    layers = tuple(
        dataclasses.replace(
            layer,
            name=name if layer.name == "conv1" else layer.name,
            writers=tuple(name if each == "conv1" else each for each in layer.writers),
        )
        for layer in contents.facts.layers
    )
    facts = dataclasses.replace(contents.facts, layers=layers)
    entries = {
        unit.replace("conv1", name, 1) if unit.startswith("conv1") else unit: made
        for unit, made in contents.entries.items()
    }
    return dataclasses.replace(contents, facts=facts, entries=entries)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Names


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_a_layer_cannot_lead_out_of_the_site(tmp_path, name):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "index.html").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(SiteError, match=r"cannot be a file of a site.*--cache") as refused:
        write_site(renamed(name), tmp_path / "site")
    assert str(refused.value).isprintable()
    assert everything(tmp_path) == before
    assert not paths.are_safe(renamed(name).facts)


@pytest.mark.parametrize(
    "name", ["conv 1", "größe", "layer-1.0_x", "x" * 190, "conv1", "auxiliary.0"]
)
def test_odd_but_harmless_names_are_folders(tmp_path, name):
    write_site(renamed(name), tmp_path)
    assert (tmp_path / name / "index.html").is_file()


def test_facts_whose_layers_would_share_a_folder_are_not_taken_from_a_cache():
    _, second, *_ = small().facts.layers
    assert paths.are_safe(renamed("Conv1").facts)
    assert not paths.are_safe(renamed(second.name.upper()).facts)


def test_an_image_that_was_looked_up_cannot_lead_out_of_the_site(tmp_path):
    contents, pictures = site_factory.contents()
    assert paths.are_safe(contents.facts)
    like = site_factory.like(pictures, contents.facts, "../../x")
    with pytest.raises(SiteError, match="cannot be a file of a site"):
        write_site(dataclasses.replace(contents, on_demand=(like,)), tmp_path / "site")
    assert not [*tmp_path.rglob("x*")]


def test_every_file_of_a_site_is_known_by_its_name(tmp_path):
    write_site(site_factory.contents()[0], tmp_path)
    made = {path for path in everything(tmp_path) if path != record.FILE_NAME}
    assert {path for path in made if not paths.is_ours(path)} == set()
    for name in ("notes.txt", "conv1/notes.txt", "talks/one.html", "CNAME", "thesis.pdf"):
        assert not paths.is_ours(name)


# Files of others


@pytest.mark.parametrize(
    "mine",
    [
        "about.html",
        "manifest.json",
        "conv1/index.html",
        "conv1/0001.webp",
        "static/js/atlas.js",
        "index.html",
        "favicon.svg",
        "search-index.js",
        "like/x.html",
    ],
)
def test_files_of_others_are_not_overwritten(tmp_path, mine):
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).write_text("mine")
    if mine.startswith("like"):  # nothing is written there
        write_site(small(), tmp_path)
        assert remove_site(tmp_path) > 0
    else:
        with pytest.raises(SiteError, match=rf"not an atlas.*: {mine}; give an empty folder"):
            write_site(small(), tmp_path)
        assert remove_site(tmp_path) == 0
    assert everything(tmp_path) == {mine: b"mine"}


def test_they_are_found_before_anything_is_made_and_the_first_are_named(tmp_path):
    layers = [layer.name for layer in small().facts.layers]
    (tmp_path / "conv1").mkdir()
    for name in ("about.html", "conv1/index.html", "404.html", "conv1/units.json", "notes.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(SiteError, match=r": 404.html, about.html, conv1/index.html and 1 more;"):
        prepare_folder(tmp_path, layers)


def test_a_file_that_comes_later_is_not_overwritten_either(tmp_path):
    contents = small()
    fewer = {name: made for name, made in contents.entries.items() if name != "conv1:3"}
    write_site(dataclasses.replace(contents, entries=fewer), tmp_path)
    (tmp_path / "conv1" / "0003.webp").write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(SiteError, match=r"not an atlas.*: conv1/0003.webp;"):
            write_site(dataclasses.replace(contents), tmp_path)
    assert (tmp_path / "conv1" / "0003.webp").read_bytes() == b"mine"
    remove_site(tmp_path)
    assert everything(tmp_path) == {"conv1/0003.webp": b"mine"}


def test_a_lost_record_is_made_anew_where_the_files_are_right(tmp_path):
    write_site(small(), tmp_path)
    before = everything(tmp_path)
    (tmp_path / record.FILE_NAME).unlink()
    prepare_folder(tmp_path, [layer.name for layer in small().facts.layers])
    assert write_site(small(), tmp_path).n_written == 0
    assert everything(tmp_path) == before


def test_a_record_of_the_version_before_is_read(tmp_path):
    write_site(small(), tmp_path)
    before = everything(tmp_path)
    data = json.loads((tmp_path / record.FILE_NAME).read_bytes())
    data["version"] = 2
    data["files"] = {path: made[:2] for path, made in data["files"].items()}
    data["inputs"] = "others"
    (tmp_path / record.FILE_NAME).write_text(json.dumps(data))
    assert check_site(tmp_path).n_unknown == len(before) - 1
    assert write_site(small(), tmp_path).n_written == 0
    assert everything(tmp_path) == before


# Links


def test_a_folder_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "conv1").symlink_to(tmp_path / "elsewhere")
    for work in (
        lambda: write_site(small(), tmp_path / "site"),
        lambda: prepare_folder(tmp_path / "site", ["conv1"]),
    ):
        with pytest.raises(SiteError, match="leads out of the site; remove that link"):
            work()
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_what_is_removed_is_never_behind_a_link(tmp_path):
    write_site(small(), tmp_path / "site")
    folder, elsewhere = tmp_path / "site" / "conv1", tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    (tmp_path / "mine").write_text("mine")
    about = tmp_path / "site" / "about.html"
    about.unlink()
    about.symlink_to(tmp_path / "mine")
    n_there = len([*elsewhere.iterdir()])
    assert remove_site(tmp_path / "site") > 0
    assert len([*elsewhere.iterdir()]) == n_there > 3
    assert (tmp_path / "mine").read_text() == "mine"


def test_links_in_place_of_files_are_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    site = tmp_path / "site"
    site.mkdir()
    (site / f"{record.PART_PREFIX}about.html").symlink_to(tmp_path / "mine")
    write_site(small(), site)
    assert (tmp_path / "mine").read_text() == "mine"
    (site / "about.html").unlink()
    (site / "about.html").symlink_to(tmp_path / "mine")
    write_site(small(), site)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (site / "about.html").is_symlink()


def test_a_site_may_be_a_link_itself(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "site").symlink_to(tmp_path / "disk")
    write_site(small(), tmp_path / "site")
    assert remove_site(tmp_path / "site") > 0
    assert everything(tmp_path / "disk") == {}


def test_clean_removes_by_record_and_by_name(tmp_path):
    write_site(small(), tmp_path)
    mine = {"thesis.pdf": b"mine", "conv1/notes.txt": b"mine"}
    for name, data in mine.items():
        (tmp_path / name).write_bytes(data)
    forged = json.loads((tmp_path / record.FILE_NAME).read_bytes())
    forged["files"] |= {name: ["", 4, ""] for name in (*mine, "../x", "/etc/hostname")}
    (tmp_path / record.FILE_NAME).write_text(json.dumps(forged))
    remove_site(tmp_path)
    assert everything(tmp_path) == mine


# Several builds


WRITER = """
import sys; sys.path[:0] = [{root!r}, {tests!r}]
import pathlib, site_factory
from atlas.site.writer import write_site
contents, _ = site_factory.contents(site_factory.network({network}))
print("begun", flush=True)
for _ in range(3):
    write_site(contents, pathlib.Path({site!r}))
"""


HOLDER = """
import sys; sys.path.insert(0, sys.argv[1])
import time
from pathlib import Path
from atlas.locks import Lock
lock = Lock(Path(sys.argv[2]))
print("held", flush=True)
time.sleep(600)
"""


def writer(site: Path, network: str) -> subprocess.Popen[str]:
    program = WRITER.format(
        root=str(ROOT), tests=str(ROOT / "tests"), network=network, site=str(site)
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_builds_into_one_site_take_turns(tmp_path):
    writers = [writer(tmp_path / "site", network) for network in ("(1,), 4", "(1, 1), 3") * 2]
    ends = [each.communicate(timeout=240) for each in writers]
    assert [each.returncode for each in writers] == [0] * 4, ends
    found = everything(tmp_path / "site")
    assert check_site(tmp_path / "site").changed == ()
    for network in (((1,), 4), ((1, 1), 3)):
        fresh = tmp_path / f"fresh {network}"
        write_site(site_factory.contents(site_factory.network(*network))[0], fresh)
    assert found in [everything(path) for path in tmp_path.glob("fresh*")]


def test_a_second_build_waits_with_a_word_and_a_kill_leaves_no_lock(tmp_path, capsys):
    site = tmp_path / "site"
    site.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(ROOT), str(site / paths.LOCK)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SiteError, match="a build is writing the site"):
        remove_site(site)
    waiting = writer(site, "(1,), 4")
    assert waiting.stdout.readline() == "begun\n"
    said = waiting.stderr.readline()
    time.sleep(0.5)
    assert waiting.poll() is None and not (site / "index.html").exists()
    holder.kill()
    holder.wait()
    _, more = waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert said + more == f"Another build is writing {site}; waiting until it is done.\n"
    assert not (site / paths.LOCK).exists()
    assert (site / "index.html").exists()


def test_a_lock_is_one_at_a_time(tmp_path):
    from atlas.locks import BusyError

    for _ in range(2):
        with Lock(tmp_path / "lock"), pytest.raises(BusyError):
            Lock(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
    shared = [Lock(tmp_path / "lock", shared=True) for _ in range(2)]
    for lock in shared:
        with pytest.raises(BusyError):
            Lock(tmp_path / "lock")
        lock.release()
    Lock(tmp_path / "lock").release()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        Lock(tmp_path / "link")
    assert not (tmp_path / "target").exists()


# Changes by hand


def test_changes_of_equal_size_are_found_and_mended(tmp_path):
    write_site(small(), tmp_path)
    before = everything(tmp_path)
    page = tmp_path / "conv1" / "0002.html"
    page.write_bytes(page.read_bytes().replace(b"Unit 2", b"Eunice", 1))
    (tmp_path / "conv1" / "0003.html").unlink()
    found = check_site(tmp_path)
    assert (found.changed, found.missing) == (("conv1/0002.html",), ("conv1/0003.html",))
    assert found.n_right == len(before) - 3
    distrust(tmp_path, found.changed)
    assert write_site(small(), tmp_path).n_written == 2
    assert everything(tmp_path) == before
    assert check_site(tmp_path).n_right == len(before) - 1


def test_facts_of_others_are_checked() -> None:
    from atlas.typed import fits

    facts = site_factory.network()
    data = json.loads(facts.to_json())
    assert fits(NetworkFacts.from_json(facts.to_json()), NetworkFacts)
    n_refused = 0
    for part in (data, data["layers"][0], data["preprocessing"]):
        for name, value in [*part.items()]:
            for odd in ({"a": 1}, [["x"]], -1.5, "odd", None):
                if type(odd) is type(value) or name in ("batch_norm", "block"):
                    continue
                part[name] = odd
                with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                    read = NetworkFacts.from_json(json.dumps(data))
                    assert not fits(read, NetworkFacts) or isinstance(value, float), name
                n_refused += 1
                part[name] = value
    assert n_refused > 100
