"""What is passed on of an atlas, in a real browser: citations, frames, lists, prints."""

from __future__ import annotations

import dataclasses
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import bibtex
import pytest
import site_factory
from site_factory import EVIL
from visits import Visit, violations

from atlas.serving import Server
from atlas.site.writer import write_site

LAYER = "layer1.0.conv2"
UNIT = f"{LAYER}/0002.html"
URL = "https://somebody.github.io/atlas"
WEIGHTS = r"my_weights {v1} 100% #2 & C:\~new^"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole atlas, whose weights have a name that LaTeX would not print as it is."""
    out_dir = tmp_path_factory.mktemp("sharing") / "an atlas #1"
    facts = dataclasses.replace(site_factory.network(n_blocks=(1,)), weights=WEIGHTS)
    contents, _ = site_factory.contents(facts, lambda unit, _: unit.id != "conv1:1")
    write_site(contents, out_dir)
    return out_dir


def cited(page: Any) -> bibtex.Entry:
    """The entry that the page shows."""
    page.click("button:text-is('Cite')")
    return bibtex.parse(page.inner_text("dialog code"))


def test_a_citation_is_a_valid_entry_with_all_that_identifies_the_picture(visit: Visit):
    page = visit.open(UNIT)
    entry = cited(page)
    assert (entry.kind, entry.key) == ("misc", f"TinyNet:{LAYER}:2")
    fields = entry.fields
    assert fields["title"] == f"Channel 2 of {LAYER} in TinyNet"
    assert fields["howpublished"] == fields["key"] == "Atlas of TinyNet"
    assert fields["url"] == f"{visit.base}/{UNIT}"
    assert fields["year"] == fields["urldate"][:4]  # the site was made just now
    assert fields["note"] == (
        f"Weights: {WEIGHTS}; sha256: 0123456789ab; Recipe: fourier 1, standard; Seed: 0"
    )
    assert violations(page) == []


def test_signs_that_latex_takes_as_commands_are_escaped(visit: Visit):
    page = visit.open("fc/0001.html")
    assert cited(page).fields["title"] == f"The class “{EVIL}” of fc in TinyNet"
    with pytest.raises(ValueError, match="not escaped"):
        bibtex.parse("@misc{a, note = {100% mine}}")


def test_a_citation_is_seen_before_it_is_copied(browser: Any, served: str):
    with Visit(browser, served, permissions=["clipboard-read", "clipboard-write"]) as visit:
        page = visit.open(UNIT)
        entry = cited(page)
        page.click("dialog button:text-is('Copy')")
        page.wait_for_selector("dialog button:text-is('Copied')")
        assert bibtex.parse(page.evaluate("navigator.clipboard.readText()")) == entry
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")


def test_where_there_is_no_clipboard_the_text_is_selected(visit: Visit):
    page = visit.open(UNIT)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    entry = cited(page)
    page.click("dialog button:text-is('Copy')")
    page.wait_for_selector("dialog [role=status]:has-text('Ctrl+C')")
    assert bibtex.parse(page.evaluate("String(getSelection())")) == entry


def test_a_published_atlas_is_cited_and_framed_at_its_address(
    browser: Any, tmp_path: Path, site: Path
):
    contents = site_factory.contents(site_factory.network(n_blocks=(1,), width=2))[0]
    write_site(contents, tmp_path, base_url=URL)
    with Visit(browser, tmp_path.as_uri()) as visit:
        page = visit.open(UNIT.replace("2.html", "1.html"))
        assert cited(page).fields["url"] == f"{URL}/{UNIT.replace('2.html', '1.html')}"
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        page.click("button:text-is('Embed')")
        assert f'src="{URL}/embed.html#{LAYER}:1"' in page.inner_text("dialog code")
    with Visit(browser, site.as_uri()) as visit:  # without an address
        assert "url" not in cited(visit.open(UNIT)).fields


def test_the_preview_of_a_frame_is_shown_by_our_own_server_too(browser: Any, site: Path):
    with Server(site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Visit(browser, f"http://127.0.0.1:{server.server_port}") as visit:
            page = visit.open(UNIT)
            page.click("button:text-is('Embed')")
            picture = page.frame_locator("dialog iframe").locator("img")
            assert picture.evaluate("image => image.decode().then(() => true)")
        server.shutdown()


@contextmanager
def other_host(folder: Path) -> Iterator[str]:
    """A host of somebody else, at another port and so of another origin."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("unit", "name"), [(UNIT, "Unit 2"), ("fc/0001.html", EVIL)], ids=["unit", "class"]
)
def test_the_code_for_a_frame_shows_the_unit_on_a_page_of_another_host(
    browser: Any, visit: Visit, tmp_path: Path, unit: str, name: str
):
    page = visit.open(unit)
    page.click("button:text-is('Embed')")
    (tmp_path / "mine.html").write_text(page.inner_text("dialog code"), encoding="utf-8")
    with other_host(tmp_path) as address:
        theirs = browser.new_page()
        theirs.goto(f"{address}/mine.html")
        frame = theirs.frame_locator("iframe")
        frame.locator("img").wait_for()
        assert frame.locator("b").inner_text() == name
        assert frame.locator("img").evaluate("image => image.decode().then(() => true)")
        assert frame.locator(".unit-link").get_attribute("href") == f"{visit.base}/{unit}"
        theirs.close()


def test_a_frame_works_from_a_disk_too(browser: Any, base: str):
    with Visit(browser, base, viewport={"width": 260, "height": 330}) as visit:
        page = visit.open(f"embed.html#{LAYER}:2")
        page.wait_for_selector("img")
        assert page.evaluate("document.images[0].decode().then(() => true)")
        assert page.evaluate("document.documentElement.scrollHeight") <= 330
        assert page.evaluate("document.documentElement.scrollWidth") <= 260
        if base.startswith("http"):  # where axe can read the styles
            assert violations(page) == []
        with page.expect_popup() as opened:
            page.click(".unit-link")
        assert opened.value.url == f"{base}/{UNIT}"


def test_a_frame_has_the_theme_that_its_address_names(visit: Visit):
    paper = "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for system, theme in (("dark", "light"), ("light", "dark")):
        visit.page.emulate_media(color_scheme=system)
        visit.open("about.html")  # an address that differs in its end only is not loaded anew
        of_system = visit.open(f"embed.html#{LAYER}:2").evaluate(paper)
        visit.open("about.html")
        named = visit.open(f"embed.html#{LAYER}:2&theme={theme}").evaluate(paper)
        assert named != of_system
        seen.add(named)
    assert len(seen) == 2


def test_a_frame_for_no_unit_says_so_and_asks_for_nothing(visit: Visit):
    for address in ("", "#fc:x", "#%", "#//evil.test/a:1", "#a\\b:1"):
        visit.open("about.html")
        page = visit.open(f"embed.html{address}")
        page.wait_for_selector("text=names no unit")
        assert page.locator(".unit-link").is_hidden() and page.locator("img").count() == 0


def test_a_frame_for_a_unit_that_is_not_there_leads_nowhere_else(visit: Visit):
    page = visit.open("embed.html#javascript:1")
    page.wait_for_selector("text=There is no picture")
    assert page.get_attribute(".unit-link", "href").startswith(f"{visit.base}/javascript/")
    assert all("404" in said for said in visit.wrong)
    visit.wrong.clear()


NAME = "curves & “edges”, 100% + more"


def cards(page: Any) -> list[str]:
    """The ids of the units that are shown side by side."""
    page.wait_for_function("document.querySelector('.lister output').textContent")
    labels = attributes(page.locator(".compared button"), "aria-label")
    return [label.removeprefix("Remove ") for label in labels]


def attributes(parts: Any, name: str) -> list[str]:
    """An attribute of each of several elements."""
    return parts.evaluate_all("(all, name) => all.map((each) => each.getAttribute(name))", name)


def test_a_list_is_made_named_passed_on_and_opened_by_anybody(browser: Any, base: str):
    with Visit(browser, base) as visit:
        page = visit.open(UNIT)
        page.click("button:text-is('Compare')")
        page.click("header a:text-is('Compare')")
        page.wait_for_selector(".compared h2")
        page.fill("[name=unit]", "fc 1")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=fc:1 is added.")
        page.fill("[name=name]", NAME)
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('h1').textContent !== 'Compare'")
        address = page.url
        page.goto(f"{base}/about.html")
        assert page.locator(".tray img").count() == 2
        page.click(".tray a")
        page.wait_for_selector(".compared h2")
        assert page.url == address  # the reader's own list keeps its name
    with Visit(browser, base) as other:  # somebody else, with nothing collected
        page = other.page
        page.goto(address)
        page.wait_for_selector(".compared h2 >> nth=1")
        assert page.inner_text("h1") == page.input_value("[name=name]") == NAME
        assert page.title().startswith(f"{NAME} · ")
        assert cards(page) == [f"{LAYER}:2", "fc:1"]
        page.click("button[aria-label='Remove fc:1']")  # of the opened list, not of an own one
        page.wait_for_selector("text=fc:1 is removed.")
        page.click("text=Make it my list")
        page.goto(f"{base}/about.html")
        assert page.locator(".tray img").count() == 1


def test_numbers_curves_and_weights_stand_side_by_side(visit: Visit):
    page = visit.open(UNIT)
    tuning = "figures => figures.map((each) => each.innerText)"
    shown = page.locator(".tuning figure").evaluate_all(tuning)
    plots = attributes(page.locator(".tuning polyline"), "points")
    weights = page.locator(".weights svg").get_attribute("viewBox")
    page = visit.open(f"compare.html#{LAYER}:2,fc:3")
    page.wait_for_selector(".compared h2 >> nth=1")
    first, second = (page.locator(f".compared li:nth-child({nth})") for nth in (1, 2))
    assert first.locator(".tuning figure").evaluate_all(tuning) == shown
    assert attributes(first.locator(".tuning polyline"), "points") == plots

    assert first.locator(".weights svg").get_attribute("viewBox") == weights
    names = first.locator("dt").all_inner_texts()
    assert names == second.locator("dt").all_inner_texts()  # the same rows in both
    numbers = dict(zip(names, first.locator("dd").all_inner_texts(), strict=True))
    assert (numbers["peak"], numbers["logit"], numbers["orientation"]) == ("10.5 σ", "–", "30°")
    assert second.locator("dd").all_inner_texts()[names.index("logit")] == "23"
    tops = [part.bounding_box()["y"] for part in page.locator(".compared .weights").all()]
    assert tops[0] == tops[1]
    visit.resize(390, 844)  # names of numbers wrap
    rows = [
        [row.bounding_box()["y"] for row in part.locator(".facts dd").all()]
        for part in (first, second)
    ]
    assert rows[0] == rows[1]
    assert violations(page) == []


def test_a_full_list_says_so_everywhere_and_takes_no_more(visit: Visit):
    units = [*(f"layer1.0.conv3:{nth}" for nth in range(20)), *(f"conv1:{nth}" for nth in range(4))]
    page = visit.open(f"compare.html#{','.join(units)}")
    page.wait_for_selector(".compared h2 >> nth=23")
    assert "the list is full" in page.inner_text(".lister output")
    page.click("text=Make it my list")
    page.fill("[name=unit]", "fc:1")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The list is full with 24 units; remove one first.")
    page = visit.open(UNIT)
    assert page.inner_text(".tray a") == "Compare 24, full"
    page.click("button:text-is('Compare')")
    assert "Not added: the list is full" in page.inner_text(".tray [role=alert]")
    assert page.get_attribute(".tools button", "aria-pressed") == "false"
    assert violations(page) == []
    visit.resize(360, 800)
    assert page.locator(".tray").bounding_box()["height"] < 130
    page = visit.open(f"compare.html#{','.join([*units, 'fc:0'])}")
    page.wait_for_selector(".compared h2 >> nth=23")
    assert cards(page) == units and "of 25: only the first 24" in page.inner_text(".lister output")


def test_an_empty_list_says_how_to_fill_it(visit: Visit):
    page = visit.open(f"compare.html#{LAYER}:2")
    page.wait_for_selector(".compared h2")
    page.click("text=Remove all")
    page.wait_for_selector("text=The list is empty. Choose “Compare”")
    assert page.locator(".compared li").count() == 0
    page.reload()
    assert page.locator(".empty").is_visible()


def test_units_that_there_are_not_are_not_added(visit: Visit):
    page = visit.open("compare.html")
    for text in ("fc:8", "nowhere:1", "a pigeon", "<b>x</b>"):
        page.fill("[name=unit]", text)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text=This atlas has no unit “{text}”.")
        assert cards(page) == []


def style(page: Any, selector: str, name: str, part: str = "") -> str:
    """A computed property of an element, or of its ::before."""
    of_part = f', "{part}"' if part else ""
    return page.evaluate(
        f"getComputedStyle(document.querySelector({selector!r}){of_part}).getPropertyValue({name!r})"
    )


def test_prints_are_light_and_complete(visit: Visit):
    visit.resize(1280, 400)
    page = visit.open(UNIT)
    page.evaluate("localStorage.setItem('atlas-theme', 'dark')")
    page.reload()
    waiting = (
        "[...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
    )
    assert page.evaluate(waiting) > 0
    printed = page.evaluate(
        f"""() => new Promise((resolve) => {{
            window.print = () => resolve({waiting});
            const buttons = [...document.querySelectorAll(".tools button")];
            buttons.find((button) => button.textContent === "Print").click();
        }})"""
    )
    assert printed == 0
    page.reload()
    assert page.evaluate(waiting) > 0
    page.evaluate(f"window.print = () => (document.body.dataset.waiting = {waiting})")
    page.keyboard.press("Control+p")
    page.wait_for_selector("body[data-waiting='0']")
    page.emulate_media(media="print")
    assert style(page, "body", "background-color") == "rgb(255, 255, 255)"
    assert style(page, ".ramp i", "print-color-adjust") == "exact"
    for part in ("figure", ".circuit li", ".tuning svg", "dl > div"):
        assert style(page, part, "break-inside") == "avoid"
    page.evaluate("localStorage.clear()")


def test_printed_from_the_browsers_menu_no_picture_is_missing(visit: Visit):
    page = visit.open(UNIT)
    missing = "[...document.images].filter((image) => !image.naturalWidth).length"
    assert page.evaluate(missing) > 0
    page.evaluate(
        f"addEventListener('afterprint', () => (document.body.dataset.missing = {missing}))"
    )
    page.pdf()
    assert page.get_attribute("body", "data-missing") == "0"


def test_what_is_folded_is_open_on_paper_and_folded_again_afterwards(visit: Visit):
    page = visit.open("about.html")
    n_folded = page.locator("details").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details[open]").count() == n_folded > 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_in_forced_colours_legends_have_the_colours_of_their_marks(visit: Visit):
    visit.page.emulate_media(forced_colors="active")
    page = visit.open(UNIT)
    paper = style(page, "body", "background-color")
    seen = set()
    for mark in ("up", "down", "noise", "photos"):
        fill = style(page, f".axis .{mark}", "fill")
        assert style(page, f".key .{mark} dt", "background-color", "::before") == fill != paper
        seen.add((fill, page.locator(f".axis .{mark}").first.evaluate("mark => mark.tagName")))
    assert len(seen) >= 3  # by colour and shape; photographs are a thinner line than noise
    assert "gradient" in style(page, ".ramp i", "background-image")
    assert style(page, ".tuning svg", "stroke") != paper
