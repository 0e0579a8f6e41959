"""The site of a comparison in a real browser: on any screen, in both themes, without scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fine_tuning import fine_tune
from test_command import Folders, run
from test_comparison import DEMO, LAYER, permuted
from visits import Visit, see_everything, violations

PAGES = {
    "front": "index.html",
    "layer": f"{LAYER}/index.html",
    "unit": f"{LAYER}/0007.html",
    "equal layer": "conv1/index.html",
    "classifier": "fc/index.html",
    "layer by likeness": "layer2.1.conv1/index.html",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tuned weights in which the units of one layer are in another order besides."""
    folder = tmp_path_factory.mktemp("compared")
    tuned = fine_tune(folder / "tuned.safetensors", LAYER, (3, 7, 11))
    permuted(tuned, tuned)
    folders = Folders(folder / "a comparison #1", folder / "cache")
    command = ("compare", "demo", tuned, *DEMO, "--pictured", "4", *folders.options)
    assert run(*command).code == 0
    return folders.out


def test_no_page_says_anything_wrong_or_asks_another_host(browser: Any, base: str):
    with Visit(browser, base) as visit:
        for path in PAGES.values():
            page = visit.open(path)
            see_everything(page)
            assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


@pytest.mark.parametrize("kind", PAGES)
def test_pages_fit_every_screen_and_axe_finds_no_violation(browser: Any, served: str, kind: str):
    with Visit(browser, served) as visit:
        page = visit.open(PAGES[kind])
        assert violations(page) == []
        see_everything(page)
        for width_px in (360, 1600):
            visit.resize(width_px, 800)
            assert page.evaluate("document.documentElement.scrollWidth") <= width_px


def test_everything_can_be_reached_without_scripts(browser: Any, served: str):
    with Visit(browser, served, java_script_enabled=False) as visit:
        page = visit.open("index.html")
        page.click(f"main a[href='{LAYER}/0007.html'] >> nth=0")
        assert page.locator("h1").inner_text() == "Unit 7"
        assert page.locator("main img").count() == 4
        page.click("a[rel=up]")
        assert page.locator("h1").inner_text() == LAYER
        page.click("a[rel=next]")
        page.click("a[rel=up]")
        assert visit.path == "index.html"


def test_units_of_different_numbers_are_side_by_side(browser: Any, served: str):
    with Visit(browser, served) as visit:
        page = visit.open(PAGES["layer by likeness"])
        assert "no more than by chance" in page.inner_text("main")
        page.click(".pairs a >> nth=0")
        numbers = [int(each) for each in re.findall(r"\d+", page.inner_text("h1"))]
        assert numbers[1] == (numbers[0] + 1) % 40  # where `permuted` has put it
        captions = page.locator("figcaption").all_inner_texts()
        assert [f"Weights of unit {number}" for number in numbers] == captions[1::2]


def test_keys_and_search_lead_through_a_comparison(browser: Any, served: str):
    with Visit(browser, served) as visit:
        page = visit.open(PAGES["unit"])
        page.keyboard.press("u")
        page.wait_for_url(f"**/{LAYER}/index.html*")
        page.keyboard.press("/")
        page.keyboard.type(f"{LAYER}:11")
        page.wait_for_selector(".search a")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{LAYER}/0011.html")
