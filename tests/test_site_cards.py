"""What pages look like in social networks; addresses are whole only where someone said them."""

from pathlib import Path

import pytest
import site_factory
from site_reader import Page

from atlas.site.writer import write_site

URL = "https://somebody.github.io/atlas"


def cards(page: Path) -> dict[str, str]:
    """The properties of a page's card."""
    found = Page(page.read_text(encoding="utf-8")).all("meta")
    return {str(meta["property"]): str(meta["content"]) for meta in found if meta.get("property")}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same site without an address and with one."""
    contents = site_factory.contents(site_factory.network(n_blocks=(1,)))[0]
    bare, known = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("known")
    write_site(contents, bare)
    write_site(contents, known, base_url=URL)
    return bare, known


@pytest.mark.parametrize(
    ("page", "picture"),
    [
        ("index.html", "fc/0007.webp"),
        ("layer1.0.conv2/index.html", "layer1.0.conv2/cover.webp"),
        ("fc/0003.html", "fc/0003.webp"),
    ],
)
def test_network_layers_and_classes_have_a_card(sites: tuple[Path, Path], page: str, picture: str):
    bare, known = (cards(site / page) for site in sites)
    assert set(bare) == {"og:type", "og:title", "og:description"}
    assert known["og:url"] == f"{URL}/{page}"
    assert known["og:image"].startswith(f"{URL}/fc/" if page == "index.html" else URL)
    assert known["og:image"].endswith(".webp") and (sites[1] / picture).is_file()
    if page != "index.html":
        assert known["og:image"] == f"{URL}/{picture}"


def test_channels_have_none_to_stay_small(sites: tuple[Path, Path]) -> None:
    assert cards(sites[1] / "layer1.0.conv2" / "0002.html") == {}


def test_no_other_link_is_whole(sites: tuple[Path, Path]) -> None:
    for path in sites[1].rglob("*.html"):
        found = Page(path.read_text(encoding="utf-8"))
        assert not [target for target in found.targets if target.startswith(URL)]
