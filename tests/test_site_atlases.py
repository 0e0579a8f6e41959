"""Several atlases in one site: the landing page, what it finds, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import site_factory
from click.testing import CliRunner
from site_factory import EVIL
from site_reader import read_pages, resolve

from atlas import paths
from atlas.command import main
from atlas.errors import SiteError
from atlas.locks import Lock
from atlas.site.atlases import atlas_folders, find_atlases, parts_of_all
from atlas.site.checking import check_site
from atlas.site.contents import Contents
from atlas.site.landing import prepare_landing, remove_one, remove_whole, write_landing
from atlas.site.writer import prepare_folder, write_site
from atlas.units import NetworkFacts

ROOT = Path(__file__).resolve().parents[1]


def small(**changes: object) -> Contents:
    """A small atlas of a network with some facts changed."""
    facts = dataclasses.replace(site_factory.network(n_blocks=(1,), width=2), **changes)
    return site_factory.contents(facts, lambda _, kind: kind in ("dream", "filter"))[0]


def add(site: Path, name: str, contents: Contents | None = None) -> None:
    """Write an atlas and the landing page, as a build does."""
    write_site(contents or small(), site / name, landing="../")
    write_landing(site)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def atlases_js(site: Path) -> dict[str, dict[str, object]]:
    script = (site / paths.ATLASES).read_text()
    data = json.loads(script.removeprefix("self.atlases = ").removesuffix(";\n"))
    assert isinstance(data, dict)
    return data


def broken_links(site: Path) -> list[str]:
    return [
        f"{page}: {target}"
        for page, read in read_pages(site).items()
        if not page.endswith("404.html")  # whose links its script mends
        for target in read.targets
        if "://" not in target
        if not (site / resolve(page, target)).exists()
    ]


def test_every_atlas_has_a_card_and_every_link_leads_somewhere(tmp_path: Path):
    add(tmp_path, "first", small(name=EVIL, weights="V1"))
    add(tmp_path, "second", small(weights="V2"))
    html = (tmp_path / "index.html").read_text()
    assert [html.count(f'href="{name}/index.html">\n') for name in ("first", "second")] == [1, 1]
    assert EVIL not in html and "V1" in html and "V2" in html
    assert broken_links(tmp_path) == []


def test_a_card_says_what_the_atlas_has(tmp_path: Path):
    contents = site_factory.contents(
        site_factory.network(n_blocks=(1,), width=2), lambda unit, kind: unit.layer == "conv1"
    )[0]
    add(tmp_path, "part", contents)
    (found,) = find_atlases(tmp_path)
    assert (found.card.network, found.card.weights) == ("TinyNet", "tiny.safetensors")
    assert found.card.n_units == contents.facts.n_units
    assert found.card.n_pages == 6 == contents.n_pages
    assert found.card.picture == "conv1/cover.webp"
    assert found.pages == {"conv1": [[0, 5]]}


def test_without_a_cover_a_card_shows_a_unit_and_without_pictures_none(tmp_path: Path):
    facts = site_factory.network(n_blocks=(1,), width=2)
    for name, kinds in (("units", {"excitatory"}), ("weights", {"filter"})):
        add(tmp_path, name, site_factory.contents(facts, lambda _, kind, k=kinds: kind in k)[0])
    pictures = [each.card.picture for each in find_atlases(tmp_path)]
    assert pictures == ["fc/0000.webp", None]
    assert broken_links(tmp_path) == []


def test_the_same_layers_are_told_whatever_the_weights_and_classes(tmp_path: Path):
    add(tmp_path, "v1", small())
    add(tmp_path, "v2", small(sha256="f" * 64, weights="V2"))
    add(tmp_path, "tuned", small(labels=tuple(f"other {n}" for n in range(8))))
    add(
        tmp_path,
        "wider",
        site_factory.contents(site_factory.network((1,), width=3), lambda *_: False)[0],
    )
    found = atlases_js(tmp_path)
    assert found["v1"]["architecture"] == found["v2"]["architecture"]
    assert found["v1"]["architecture"] == found["tuned"]["architecture"]
    assert found["v1"]["architecture"] != found["wider"]["architecture"]
    assert found["v1"]["classes"] == found["v2"]["classes"] != found["tuned"]["classes"]


def test_pages_of_an_atlas_do_not_change_when_another_is_added(tmp_path: Path):
    add(tmp_path, "one")
    before = everything(tmp_path / "one")
    add(tmp_path, "two")
    assert everything(tmp_path / "one") == before
    report = write_site(small(), tmp_path / "one", landing="../")
    assert report.n_written == 0


def test_an_atlas_alone_knows_of_no_others(tmp_path: Path):
    write_site(small(), tmp_path)
    for path in tmp_path.rglob("*.html"):
        html = path.read_text()
        assert "elsewhere" not in html and "All atlases" not in html, path


def test_a_landing_page_that_is_right_is_left_as_it_is(tmp_path: Path):
    add(tmp_path, "one")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}
    write_landing(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_every_file_of_the_landing_page_is_known_by_its_name(tmp_path: Path):
    add(tmp_path, "one")
    assert check_site(tmp_path).changed == ()
    assert (
        check_site(tmp_path).n_right
        == sum(path.is_file() for path in [*tmp_path.glob("*"), *(tmp_path / "static").rglob("*")])
        - 1
    )  # the record


# What is not ours


def test_a_name_that_differs_in_case_only_from_another_is_refused(tmp_path: Path):
    add(tmp_path, "one")
    with pytest.raises(SiteError, match=r"--atlas One differs in case only from one.*--atlas one"):
        prepare_landing(tmp_path, "One")
    prepare_landing(tmp_path, "one")
    prepare_landing(tmp_path, "two")


def test_a_front_page_of_others_is_not_overwritten(tmp_path: Path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(SiteError, match=r"not an atlas.*index.html"):
        prepare_landing(tmp_path, "one")
    write_site(small(), tmp_path / "one", landing="../")
    with pytest.raises(SiteError, match=r"not an atlas.*index.html"):
        write_landing(tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_single_atlas_does_not_become_one_of_several(tmp_path: Path):
    write_site(small(), tmp_path)
    before = everything(tmp_path)
    with pytest.raises(SiteError, match=r"is an atlas itself.*--out.*clean site"):
        prepare_landing(tmp_path, "one")
    assert everything(tmp_path) == before


def test_several_atlases_are_not_overwritten_by_a_single_one(tmp_path: Path):
    add(tmp_path, "one")
    before = everything(tmp_path)
    for write in (lambda: prepare_folder(tmp_path), lambda: write_site(small(), tmp_path)):
        with pytest.raises(SiteError, match=r"holds several atlases.*--atlas"):
            write()
    assert everything(tmp_path) == before


def test_folders_of_others_and_links_are_no_atlases(tmp_path: Path):
    add(tmp_path / "site", "one")
    (tmp_path / "site" / "notes").mkdir()
    (tmp_path / "site" / "notes" / "manifest.json").write_text("{}")
    write_site(small(), tmp_path / "elsewhere")
    (tmp_path / "site" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    write_landing(tmp_path / "site")
    assert [*atlases_js(tmp_path / "site")] == ["one"]
    assert atlas_folders(tmp_path / "site") == (tmp_path / "site" / "one",)


@pytest.mark.parametrize("damage", ["{}", '{"network": 3}', "", "[" * 5000])
def test_an_atlas_that_cannot_be_read_has_no_card(tmp_path: Path, damage: str):
    add(tmp_path, "one")
    add(tmp_path, "two")
    (tmp_path / "two" / "manifest.json").write_text(damage)
    write_landing(tmp_path)
    assert [*atlases_js(tmp_path)] == ["one"]


@pytest.mark.parametrize(
    "name", ["..", "a/b", "", ".hidden", "static", "LIKE", "index.html", "nul"]
)
def test_odd_names_are_no_folders_of_atlases(name: str):
    assert not paths.is_atlas_name(name)
    done = CliRunner().invoke(main, ["--atlas", name, "--demo", "--dry-run"])
    assert done.exit_code == 2 and "cannot be the name" in done.output


@pytest.mark.parametrize("name", ["static", "LIKE", "index.html"])
def test_names_that_the_site_has_itself_are_all_listed(name: str):
    done = CliRunner().invoke(main, ["--atlas", name, "--demo", "--dry-run"])
    assert "the site itself has static, like, " in done.output
    assert all(taken in done.output for taken in paths.ROOT_FILES)


# Removing


def test_removing_one_brings_the_landing_page_up_to_date(tmp_path: Path):
    add(tmp_path, "one")
    add(tmp_path, "two")
    done = CliRunner().invoke(
        main, ["clean", "site", "--out", str(tmp_path), "--atlas", "one", "--yes"]
    )
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "one").exists()
    assert [*atlases_js(tmp_path)] == ["two"]
    assert broken_links(tmp_path) == []


def test_removing_one_that_is_not_there_is_refused_before_anything_is_asked(tmp_path: Path):
    add(tmp_path, "one")
    add(tmp_path, "two")
    done = CliRunner().invoke(main, ["clean", "site", "--out", str(tmp_path), "--atlas", "three"])
    assert done.exit_code == 2
    assert f"Error: no atlas 'three' in {tmp_path}; there is one, two" in done.output
    assert "Remove" not in done.output


def test_removing_the_last_removes_the_landing_page(tmp_path: Path):
    add(tmp_path, "one")
    assert remove_one(tmp_path / "one") > 0
    write_landing(tmp_path)
    assert everything(tmp_path) == {}


def test_removing_all_leaves_what_others_made(tmp_path: Path):
    add(tmp_path, "one")
    add(tmp_path, "two")
    (tmp_path / "one" / "thesis.pdf").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    assert remove_whole(tmp_path) > 0
    assert everything(tmp_path) == {"notes.txt": b"mine", "one/thesis.pdf": b"mine"}


def test_an_atlas_that_is_being_written_is_not_removed(tmp_path: Path):
    add(tmp_path, "one")
    with Lock(tmp_path / "one" / paths.LOCK), pytest.raises(SiteError, match=r"is writing"):
        remove_whole(tmp_path)


# The command


def test_verify_reads_every_atlas(tmp_path: Path):
    add(tmp_path, "one")
    add(tmp_path, "two")
    where = ["--out", str(tmp_path), "--cache", str(tmp_path / "none")]
    assert CliRunner().invoke(main, ["verify", *where]).exit_code == 0
    (tmp_path / "two" / "about.html").write_text("changed")
    done = CliRunner().invoke(main, ["verify", *where])
    assert done.exit_code == 1 and "changed: about.html" in done.output


def test_the_size_is_that_of_all(tmp_path: Path):
    add(tmp_path, "one")
    add(tmp_path, "two")
    n_files = len(everything(tmp_path)) - 3  # records
    assert sum(part.n_files for part in parts_of_all(tmp_path)) == n_files


FILTERS = ("--demo", "--kinds", "filter", "--layers", "conv1,fc", "--device", "cpu")


def build(site: Path, cache: Path, name: str) -> subprocess.Popen[str]:
    places = ("--out", str(site), "--cache", str(cache), "--atlas", name)
    return subprocess.Popen(
        [sys.executable, "build.py", *FILTERS, *places],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.PIPE,
    )


def test_builds_of_two_atlases_into_one_site_at_once(tmp_path: Path):
    """All pictures are there: what takes place at once is the writing."""
    site, made = (
        tmp_path / "site",
        ("--out", str(tmp_path / "made"), "--cache", str(tmp_path / "one")),
    )
    assert CliRunner().invoke(main, [*FILTERS, *made]).exit_code == 0
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    builds = [build(site, tmp_path / name, name) for name in ("one", "two")]
    for each in builds:
        out, said = each.communicate(timeout=300)
        assert each.returncode == 0, said
        assert str(site / "index.html") in out
    assert [*atlases_js(site)] == ["one", "two"]
    assert broken_links(site) == []
    assert all(not check_site(folder).changed for folder in (site, *atlas_folders(site)))


def test_facts_of_a_network_are_those_of_the_manifest(tmp_path: Path):
    facts: NetworkFacts = small().facts
    add(tmp_path, "one")
    (found,) = find_atlases(tmp_path)
    assert found.classifier == (facts.classifier.name if facts.classifier else None)
    assert {*found.pages} == {layer.name for layer in facts.layers}
