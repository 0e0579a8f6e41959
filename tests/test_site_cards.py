"""What pages look like where their address is shared; addresses are whole where one was given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import site_factory
from PIL import Image
from site_factory import DIGEST, EVIL
from site_reader import Page

from atlas.site.landing import write_landing
from atlas.site.writer import write_site

URL = "https://somebody.github.io/atlas"
LAYER = "layer1.0.conv2"
BARE = {"og:type", "og:title", "og:description", "twitter:card"}
PICTURES = {
    f"{LAYER}/index.html": f"{LAYER}/cover.webp",
    f"{LAYER}/0002.html": f"{LAYER}/0002.webp",
    "fc/0001.html": "fc/0001.webp",
    f"like/cat-{DIGEST}.html": f"like/cat-{DIGEST}.webp",
    f"mix/pair-{DIGEST}.html": f"mix/pair-{DIGEST}.webp",
}


WHOLE = (
    "index.html",
    "about.html",
    "classes.html",
    "compare.html",
    "data.html",
    "find.html",
)  # about the whole network


def cards(page: Path) -> dict[str, str]:
    """The properties of a page's card."""
    found = Page(page.read_text(encoding="utf-8")).all("meta")
    named = [(meta.get("property") or meta.get("name"), meta.get("content")) for meta in found]
    return {
        str(name): str(said) for name, said in named if str(name).startswith(("og:", "twitter"))
    }


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same site without an address and with one."""
    facts = site_factory.network(n_blocks=(1,))
    contents, pictures = site_factory.contents(
        facts, lambda unit, kind: (unit.layer, kind) != ("layer1.0.conv1", "dream")
    )
    contents = dataclasses.replace(contents, on_demand=site_factory.asked_for(pictures, facts))
    bare, known = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("known")
    write_site(contents, bare)
    write_site(contents, known, base_url=URL)
    return bare, known


def picture_of(site: Path, page: str) -> str:
    """The picture that belongs in the card of a page: that of the front page, or its own."""
    front = Page((site / "index.html").read_text(encoding="utf-8")).all("img")
    return PICTURES.get(page) or next(str(image["src"]) for image in front if "width" in image)


@pytest.mark.parametrize("page", [*WHOLE, *PICTURES])
def test_every_page_has_a_card_with_its_picture_and_its_true_size(
    sites: tuple[Path, Path], page: str
):
    bare, known = (cards(site / page) for site in sites)
    picture = picture_of(sites[1], page)
    assert set(bare) == BARE
    assert known["og:url"] == f"{URL}/{page}"
    assert known["og:image"] == f"{URL}/{picture}"
    size = int(known["og:image:width"]), int(known["og:image:height"])
    assert size == Image.open(sites[1] / picture).size
    assert known["og:title"] and known["og:description"] and known["og:image:alt"]


def test_a_card_says_in_words_what_its_picture_shows(sites: tuple[Path, Path]):
    known = sites[1]
    said = {page: cards(known / page)["og:image:alt"] for page in PICTURES}
    assert said[f"{LAYER}/0002.html"] == f"Synthetic picture that excites unit 2 of {LAYER}"
    assert said["fc/0001.html"] == f"Synthetic picture that excites the class “{EVIL}”"
    assert said[f"like/cat-{DIGEST}.html"] == f"The image {EVIL}.jpg, as the network gets it"


def test_a_layer_without_a_cover_shows_the_first_of_its_units(sites: tuple[Path, Path]):
    known = cards(sites[1] / "layer1.0.conv1" / "index.html")
    assert known["og:image"] == f"{URL}/layer1.0.conv1/0000.webp"
    assert "unit 0 of layer1.0.conv1" in known["og:image:alt"]


def test_the_page_of_several_atlases_shows_one_of_them(tmp_path: Path):
    contents = site_factory.contents(site_factory.network(n_blocks=(1,), width=2))[0]
    write_site(contents, tmp_path / "one", base_url=f"{URL}/one", landing="../")
    write_landing(tmp_path, URL)
    known = cards(tmp_path / "index.html")
    assert known["og:url"] == f"{URL}/index.html"
    assert (tmp_path / known["og:image"].removeprefix(f"{URL}/")).is_file()


def test_no_other_link_is_whole(sites: tuple[Path, Path]) -> None:
    for path in sites[1].rglob("*.html"):
        found = Page(path.read_text(encoding="utf-8"))
        assert not [target for target in found.targets if target.startswith(URL)]
