"""Drawings with branches, and sites of several atlases, in a real browser."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import site_factory
from visits import Visit, see_everything, violations

from atlas.site.landing import write_landing
from atlas.site.writer import write_site

UNIT = "layer1.0.conv2/0001.html"
CLASS = "fc/0002.html"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two weights of one network, the same with other classes, and another network."""
    folder = tmp_path_factory.mktemp("several") / "our atlases"
    facts = site_factory.network(n_blocks=(1,), width=2)
    tuned = dataclasses.replace(facts, labels=tuple(f"other {nth}" for nth in range(8)))
    atlases = {
        "v1": facts,
        "v2": dataclasses.replace(facts, weights="V2"),
        "tuned": tuned,
        "branched": site_factory.branched_network(),
    }
    for name, each in atlases.items():
        contents = site_factory.contents(each, lambda _, kind: kind in ("dream", "excitatory"))[0]
        write_site(contents, folder / name, landing="../")
        write_landing(folder)
    return folder


@pytest.mark.parametrize("path", ["index.html", "branched/index.html", f"v1/{UNIT}", "404.html"])
def test_no_page_has_a_barrier(visit: Visit, path: str):
    page = visit.open(path)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    see_everything(page)
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 3840])
@pytest.mark.parametrize("path", ["index.html", "branched/index.html", f"v1/{UNIT}"])
def test_no_page_scrolls_sideways(visit: Visit, path: str, width: int):
    visit.resize(width, 800)
    page = visit.open(path)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert all(right <= width for _, _, right, _ in boxes(page))


def test_tiles_of_a_drawing_do_not_overlap(browser: Any, served: str):
    with Visit(browser, served, viewport={"width": 360, "height": 800}) as visit:
        page = visit.open("branched/index.html")
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        for one, other in itertools.combinations(boxes(page), 2):
            beside = one[2] <= other[0] or other[2] <= one[0]
            assert beside or one[3] <= other[1] or other[3] <= one[1], (one, other)


def boxes(page: Any) -> list[list[float]]:
    """Left, top, right and bottom of every tile of a drawing."""
    found: list[list[float]] = page.evaluate(
        """() => [...document.querySelectorAll(".tile")].map((tile) => {
            const { left, top, right, bottom } = tile.getBoundingClientRect();
            return [left, top, right, bottom];
        })"""
    )
    return found


def test_what_is_folded_away_opens_by_keyboard_and_without_scripts(browser: Any, served: str):
    with Visit(browser, served, java_script_enabled=False) as visit:
        page = visit.open("branched/index.html")
        folded = page.locator("a.tile", has_text="expand").nth(4)
        assert not folded.is_visible()
        page.locator("summary").focus()
        page.keyboard.press("Enter")
        assert folded.is_visible()


def test_a_search_goes_through_all_atlases(browser: Any, base: str):
    with Visit(browser, base) as visit:
        page = visit.open("index.html")
        page.keyboard.press("/")
        page.keyboard.type("tench")
        page.wait_for_selector(".search li a")
        notes = page.locator(".search li i").all_text_contents()
        assert notes == ["branched/classifier.1:0", "v1/fc:0", "v2/fc:0"]
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1 >> text=tench")
        assert visit.path == "v1/fc/0000.html"


def test_a_search_in_an_atlas_stays_in_it(browser: Any, served: str):
    with Visit(browser, served) as visit:
        page = visit.open(f"v1/{UNIT}")
        page.keyboard.press("/")
        page.keyboard.type("tench")
        page.wait_for_selector(".search li a")
        assert page.locator(".search li i").all_text_contents() == ["fc:0"]


@pytest.mark.parametrize(
    ("atlas", "path", "others"),
    [("v1", UNIT, ["v2", "tuned"]), ("v1", CLASS, ["v2"]), ("tuned", UNIT, ["v1", "v2"])],
)
def test_a_unit_leads_to_the_same_unit_elsewhere(
    browser: Any, base: str, atlas: str, path: str, others: list[str]
):
    with Visit(browser, base) as visit:
        page = visit.open(f"{atlas}/{path}")
        page.wait_for_selector(".elsewhere >> text=The same unit in")
        assert sorted(page.locator(".elsewhere a").all_text_contents()) == sorted(others)
        page.locator(".elsewhere a").first.click()
        page.wait_for_selector("h1")
        assert visit.path.partition("/")[2] == path and not visit.path.startswith(f"{atlas}/")


@pytest.mark.parametrize("path", ["branched/stem.0/0000.html", "tuned/fc/0002.html"])
def test_a_unit_that_is_nowhere_else_says_so(browser: Any, served: str, path: str):
    with Visit(browser, served) as visit:
        page = visit.open(path)
        page.wait_for_selector(".elsewhere >> text=No other atlas here has this unit.")


def test_without_scripts_a_unit_leads_to_all_atlases(browser: Any, served: str):
    with Visit(browser, served, java_script_enabled=False) as visit:
        page = visit.open(f"v1/{UNIT}")
        page.locator(".elsewhere a").click()
        page.wait_for_selector(".atlases > li")
        assert visit.path == "index.html"
        assert page.locator(".atlases > li").count() == 4
        page.locator(".atlases > li > a").first.click()
        assert visit.path == "branched/index.html"


def test_links_elsewhere_move_nothing(browser: Any, served: str):
    with Visit(browser, served) as visit:
        page = visit.open(f"v1/{UNIT}")
        page.wait_for_selector(".elsewhere >> text=The same unit in")
        shift = page.evaluate(
            """() => new Promise((done) => {
                const sum = (list) => list.reduce((total, each) => total + each.value, 0);
                const observer = new PerformanceObserver((list) => done(sum(list.getEntries())));
                observer.observe({ type: "layout-shift", buffered: true });
                setTimeout(() => done(0), 500);
            })"""
        )
        assert shift <= 0.02


@pytest.mark.parametrize("path", ["gone.html", "v1/layer9/deep/er.html", "v9/index.html"])
def test_a_missing_address_leads_to_the_landing_page(browser: Any, served: str, path: str):
    with Visit(browser, served) as visit:
        page = visit.open(path)
        page.click("main a[href$='/sub/path/index.html']")
        assert visit.path == "index.html"
        page.wait_for_selector(".atlases")
        assert all("404" in said for said in visit.wrong)
        visit.wrong.clear()
