"""The site in a real browser: found, compared, shared, on any screen, with and without scripts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import site_factory
from host import serve
from site_factory import DIGEST, EVIL
from visits import Visit, see_everything, violations

from atlas.site import layer_pages
from atlas.site.writer import write_site
from atlas.units import Unit

LAYER = "layer1.0.conv2"
PAGES = {
    "network": "index.html",
    "layer": f"{LAYER}/index.html",
    "classifier": "fc/index.html",
    "unit": f"{LAYER}/0002.html",
    "class": "fc/0003.html",
    "tour": "tour.html",
    "classes": "classes.html",
    "about": "about.html",
    "map": "map.html",
    "like": f"like/cat-{DIGEST}.html",
    "caricature": f"caricature/cat-{DIGEST}.html",
    "mix": f"mix/pair-{DIGEST}.html",
    "variants": f"variants/one-{DIGEST}.html",
    "find": "find.html#ask-orientation=30",
    "compare": f"compare.html#{LAYER}:2,fc:1",
    "empty comparison": "compare.html",
    "data": "data.html",
    "frame": f"embed.html#{LAYER}:2",
    "partial layer": "conv1/index.html",
    "unit without a picture": "conv1/0002.html",
    "dead unit": f"{LAYER}/0001.html",
    "missing": "404.html",
}

MADE_BY_SCRIPTS = {"find", "compare", "empty comparison", "frame", "missing"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole atlas but for some units of its first layer, in a folder with a difficult name."""
    out_dir = tmp_path_factory.mktemp("site") / "an atlas #1"
    facts = site_factory.network(n_blocks=(2, 1))

    def wanted(unit: Unit, kind: str) -> bool:
        return unit.layer != "conv1" or unit.index < 2 or (unit.index == 2 and kind == "filter")

    contents, pictures = site_factory.contents(facts, wanted)
    with site_factory.changed_numbers(contents, f"{LAYER}:1", "excitatory") as numbers:
        numbers["dead"] = True
    asked_for = site_factory.asked_for(pictures, facts)
    write_site(dataclasses.replace(contents, on_demand=asked_for), out_dir)
    return out_dir


@pytest.fixture(scope="module")
def plain(browser: Any, served: str) -> Iterator[Visit]:
    """A visit without scripts."""
    with Visit(browser, served, java_script_enabled=False) as made:
        yield made


def test_no_page_says_anything_wrong_or_asks_another_host(browser: Any, base: str):
    with Visit(browser, base) as visit:  # which hears what goes wrong
        for path in PAGES.values():
            page = visit.open(path)
            see_everything(page)
            assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


def test_a_visit_hears_what_goes_wrong(browser: Any, served: str):
    with pytest.raises(AssertionError) as heard, Visit(browser, served) as visit:
        page = visit.open("about.html")
        page.evaluate("console.warn('careful')")
        page.evaluate("setTimeout(() => { throw new Error('broken') })")
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
        page.evaluate("fetch('gone.html')")
        page.wait_for_timeout(300)
    for words in ("careful", "broken", "http://127.0.0.1:9/", "404"):
        assert words in str(heard.value)


@pytest.mark.parametrize("kind", ["class", "missing"])  # the two policies there are
def test_scripts_that_slip_through_do_not_run(visit: Visit, kind: str):
    page = visit.open(PAGES[kind])
    forbidden = page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
            const script = document.createElement("script");
            script.textContent = "window.slippedThrough = true";
            document.head.append(script);
            setTimeout(resolve, 2000);
        })"""
    )
    assert forbidden == "inline"
    assert page.evaluate("window.slippedThrough") is None
    visit.wrong.clear()  # the browser says so, of course


@pytest.mark.parametrize("kind", PAGES)
def test_no_page_is_wider_than_its_screen(visit: Visit, kind: str):
    page = visit.open(PAGES[kind])
    see_everything(page)
    for width_px in (360, 1600):
        visit.resize(width_px, 800)
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px


def test_a_phone_has_room_for_what_scripts_add(visit: Visit):
    """The tray, the results of a search, and all controls of a layer."""
    page = visit.open(f"{LAYER}/0002.html")
    page.click("button:text-is('Compare')")
    page = visit.open(f"{PAGES['layer']}#size=L&sort=peak&by=peak&from=10&to=20")
    visit.resize(360, 800)
    unfold(page)
    page.keyboard.press("/")
    page.keyboard.type("layer")
    for part in (".tray", ".search ul", "[name=to]"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_no_violation(visit: Visit, kind: str):
    assert violations(visit.open(PAGES[kind])) == []


def test_axe_finds_no_violation_in_what_scripts_add(visit: Visit):
    page = visit.open(f"{LAYER}/0002.html")
    page.click("button:text-is('Compare')")
    page = visit.open(f"{PAGES['layer']}#by=peak&from=10&show=filters")
    page.keyboard.press("/")
    page.keyboard.type("owl")
    page.wait_for_selector(".search a")
    assert violations(page) == []


def links(page: Any) -> list[tuple[str, str, bool]]:
    """Where links lead, what they say, and whether they can be seen once nothing is folded."""
    unfold(page)
    return page.evaluate(
        """[...document.querySelectorAll("main a")].map((link) =>
            [link.getAttribute("href"), link.textContent, link.checkVisibility()])"""
    )


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")


@pytest.mark.parametrize("kind", sorted(PAGES.keys() - MADE_BY_SCRIPTS))
def test_scripts_add_no_content_that_is_missing_without_them(visit: Visit, plain: Visit, kind: str):
    page, bare = visit.open(PAGES[kind]), plain.open(PAGES[kind])
    page.evaluate("document.querySelector('.tools')?.remove()")  # of no use without scripts
    for each in (page, bare):
        each.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert links(bare) == links(page) != []
    assert all(visible for *_, visible in links(plain.page))
    assert plain.page.locator(".controls, .search, .theme").count() == 0


def test_without_scripts_all_content_and_links_are_there(browser: Any, served: str):
    with Visit(browser, served, java_script_enabled=False) as visit:
        page = visit.open("index.html")
        page.click(f"a.tile[href='{LAYER}/index.html']")
        assert page.locator(".grid li").count() == 5
        page.click("summary:text-is('About this layer')")
        assert page.locator("dt:has-text('Kernel')").is_visible()
        page.click(".grid a >> nth=2")
        assert visit.path == f"{LAYER}/0002.html"
        for heading in ("Evidence", "In photographs", "Circuit", "Tuning", "Similar units"):
            assert page.locator(f"h2:text-is('{heading}')").is_visible()
        page.click("a[rel=next]")
        assert visit.path == f"{LAYER}/0003.html"
        visit.open("compare.html")
        assert "JavaScript, which is off" in page.inner_text("main")


def test_a_mouse_leads_from_the_network_to_a_unit_and_on(visit: Visit):
    page = visit.open("index.html")
    page.click(f"a.tile[href='{LAYER}/index.html']")
    page.click(".grid a >> nth=1")
    assert page.inner_text("h1") == f"{LAYER}, unit 1"
    assert "A dead unit." in page.inner_text("main")
    page.click("a[rel=next]")
    page.click("a[rel=prev]")
    page.click("a[rel=up]")
    assert visit.path.startswith(f"{LAYER}/index.html")


def test_keys_lead_to_neighbours_up_and_to_the_search(visit: Visit):
    page = visit.open(f"{LAYER}/0002.html")
    for key, path in (
        ("ArrowRight", f"{LAYER}/0003.html"),
        ("ArrowLeft", f"{LAYER}/0002.html"),
        ("u", f"{LAYER}/index.html"),
    ):
        page.keyboard.press(key)
        page.wait_for_url(f"**/{path}*")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("grey owl", "fc/0003.html"),
        (f"{LAYER}:3", f"{LAYER}/0003.html"),
        ("layer2.0.conv3", "layer2.0.conv3/index.html"),
    ],
)
def test_search_finds_classes_units_and_layers_by_keyboard_alone(
    browser: Any, base: str, typed: str, path: str
):
    with Visit(browser, base) as visit:
        page = visit.open("about.html")
        page.keyboard.press("/")
        page.keyboard.type(typed)
        page.wait_for_selector(".search a")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{path}")


def test_a_term_is_explained_where_it_stands(browser: Any, base: str):
    """By a click, by Enter, or where a mouse rests; Escape ends it, and focus is where it was."""
    with Visit(browser, base) as visit:
        page = visit.open(PAGES["unit"])
        note, term = (
            page.locator(".term"),
            page.locator(".notes dt > a[href^='..'][href$='#noise']"),
        )
        term.click()
        assert "Pictures of random pixels." in note.inner_text() and visit.path == PAGES["unit"]
        assert term.get_attribute("aria-expanded") == "true"
        page.keyboard.press("Escape")
        note.wait_for(state="detached")
        assert term.get_attribute("aria-expanded") is None
        term.focus()
        page.keyboard.press("Enter")
        assert note.evaluate("(note) => document.activeElement === note")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "In the glossary"
        page.keyboard.press("Escape")
        note.wait_for(state="detached")
        assert term.evaluate("(term) => document.activeElement === term")
        page.hover(".notes a[href$='#sigma']")
        assert "σ (sigma) is how far" in note.inner_text()
        page.mouse.move(5, 5)
        note.wait_for(state="detached")
        term.click()
        page.click(".term a")
        assert visit.path == "about.html#noise"


def test_a_term_fits_on_a_phone_and_leads_to_the_glossary_without_scripts(
    visit: Visit, plain: Visit
):
    page = visit.open(PAGES["layer"])
    visit.resize(360, 640)
    page.click("summary:text-is('About this layer')")
    page.click(".facts a[href$='#padding'], .opening a[href$='#padding']")
    box = page.locator(".term").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    assert violations(page) == []
    page = plain.open(PAGES["unit"])
    page.click(".notes a[href$='#noise']")
    assert plain.path == "about.html#noise"


def test_escape_leaves_the_search_and_nothing_found_is_said(visit: Visit):
    page = visit.open("about.html")
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    page.wait_for_selector(".search li:has-text('Nothing found')")
    page.keyboard.press("Escape")
    assert page.locator(".search ul").is_hidden()


def shown(page: Any) -> list[str]:
    settle(page)
    return page.locator(".grid li b").all_text_contents()


def settle(page: Any) -> None:
    """Wait until a layer's view is as it was asked for: its numbers are loaded on demand."""
    page.wait_for_selector(".units:not([aria-busy])")


def test_a_layer_is_sorted_by_its_numbers(visit: Visit):
    page = visit.open(PAGES["layer"])
    assert shown(page) == ["0", "1", "2", "3", "4"]
    page.select_option("[name=sort]", "peak")
    assert shown(page) == ["4", "3", "2", "1", "0"]  # peaks rise with the number
    page.select_option("[name=order]", "up")
    assert shown(page) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("order", ["up", "down"])
def test_units_without_a_number_come_last_in_either_direction(visit: Visit, order: str):
    page = visit.open(f"{PAGES['layer']}#sort=orientation&order={order}")
    assert shown(page)[-1] == "1"  # the one that has no orientation


def test_units_tell_the_number_that_they_are_sorted_by(visit: Visit):
    page = visit.open(PAGES["layer"])
    told = page.locator(".grid i")
    scores = told.all_text_contents()
    page.select_option("[name=sort]", "orientation")
    settle(page)
    assert told.all_text_contents() == ["30°", "30°", "30°", "30°", "–"]
    page.select_option("[name=sort]", "period")
    assert told.all_text_contents() == ["6 px", "6 px", "6 px", "6 px", "–"]
    page.select_option("[name=sort]", "")
    assert told.all_text_contents() == scores


def test_a_layer_is_sifted_and_the_address_keeps_it(visit: Visit):
    page = visit.open(PAGES["layer"])
    page.select_option("[name=by]", "peak")
    page.fill("[name=from]", "10")
    assert shown(page) == ["2", "3", "4"]
    assert page.inner_text("output") == "3 of 5"
    page.select_option("[name=sort]", "peak")
    page.select_option("[name=size]", "L")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert shown(page) == ["4", "3", "2"]
    assert page.input_value("[name=size]") == "L" and page.input_value("[name=from]") == "10"


def test_sizes_change_how_many_units_fit_into_a_row(visit: Visit):
    page = visit.open(PAGES["layer"])
    widths = []
    for size in ("S", "M", "L"):
        page.select_option("[name=size]", size)
        widths.append(page.locator(".grid .cell").first.bounding_box()["width"])
    assert widths == sorted(widths) and widths[0] < widths[2]


@pytest.mark.parametrize("stem", ["inhibitory", "filters", "examples"])
def test_a_layer_shows_its_other_pictures(visit: Visit, stem: str):
    page = visit.open(PAGES["layer"])
    page.select_option("[name=show]", stem)
    see_everything(page)
    pictures = page.locator(".grid .cell img")
    assert pictures.count() == 5
    for index in range(5):
        assert f"/{stem}-00.webp" in pictures.nth(index).evaluate("image => image.currentSrc")
        assert pictures.nth(index).evaluate("image => image.naturalWidth") > 0
    page.select_option("[name=show]", "thumbs")
    assert "/thumbs-00.webp" in pictures.first.evaluate("image => image.currentSrc")
    assert visit.wrong == []


def test_a_layer_without_excitatory_pictures_yet_shows_what_there_is(browser: Any, tmp_path: Path):
    facts = site_factory.network(n_blocks=(1,))
    write_site(site_factory.contents(facts, lambda _, kind: kind != "excitatory")[0], tmp_path)
    with serve(tmp_path) as address, Visit(browser, address) as visit:
        page = visit.open("layer1.0.conv1/index.html")
        see_everything(page)
        pictures = page.locator(".grid .cell img")
        assert pictures.count() == 5
        assert "/examples-00.webp" in pictures.first.evaluate("image => image.currentSrc")
        assert page.input_value("[name=show]") == "examples"
        page.select_option("[name=show]", "filters")
        assert page.url.endswith("#show=filters")
        page.select_option("[name=show]", "examples")
        assert "#" not in page.url
        assert "/examples-00.webp" in pictures.first.evaluate("image => image.src")


def test_themes_are_switched_kept_and_follow_the_system(browser: Any, served: str):
    with Visit(browser, served, color_scheme="dark") as visit:
        page = visit.open("about.html")
        paper = functools.partial(page.evaluate, "getComputedStyle(document.body).backgroundColor")
        dark = paper()
        page.click("button.theme")  # from the system's to light
        light = paper()
        assert light != dark
        page.reload()
        assert paper() == light
        page.click("button.theme")
        assert paper() == dark
        page.click("button.theme")
        page.emulate_media(color_scheme="light")
        assert paper() == light


def test_units_are_compared_across_pages_and_the_address_can_be_passed_on(
    visit: Visit, browser: Any, served: str
):
    page = visit.open(f"{LAYER}/0002.html")
    assert page.locator(".tray").count() == 0
    page.click("button:text-is('Compare')")
    visit.open("fc/0001.html")
    page.click("button:text-is('Compare')")
    visit.open("about.html")
    page.click(".tray a")
    page.wait_for_selector(".compared img >> nth=1")
    assert visit.path == f"compare.html#{LAYER}:2,fc:1"
    assert page.locator(".compared img").count() == 2
    assert EVIL in page.inner_text(".compared li:nth-child(2) h2")
    page.click(".compared dt a:text-is('peak')")
    assert page.inner_text(".term b").startswith("σ, average")
    page.keyboard.press("Escape")
    with Visit(browser, served) as other:  # somebody else, with nothing collected
        other.open(visit.path).wait_for_selector(".compared img >> nth=1")
    page.click("button[aria-label='Remove fc:1']")
    page.wait_for_selector(".compared img >> nth=1", state="detached")
    assert page.locator(".compared img").count() == 1
    visit.open(f"{LAYER}/0002.html")
    assert page.get_attribute(".tools button", "aria-pressed") == "true"
    page.click("button:text-is('Clear')")
    assert page.locator(".tray").count() == 0
    assert page.get_attribute(".tools button", "aria-pressed") == "false"


def test_what_is_not_in_the_atlas_is_compared_without_harm(visit: Visit):
    page = visit.open("compare.html#fc:99999,<img>,javascript:alert(1)")
    page.wait_for_selector(".compared :text('Not in this atlas')")
    assert page.locator(".compared li").count() == 1  # and no picture was asked for


def test_units_without_a_picture_are_compared_and_no_picture_is_asked_for(visit: Visit):
    page = visit.open(PAGES["unit without a picture"])
    page.click("button:text-is('Compare')")
    assert page.locator(".tray .blank").count() == 1 and page.locator(".tray img").count() == 0
    page = visit.open(f"{LAYER}/0002.html")
    page.click("button:text-is('Compare')")
    assert page.locator(".tray .blank").count() == page.locator(".tray img").count() == 1
    page.click(".tray a")
    page.wait_for_selector(".compared img")
    assert visit.path == f"compare.html#conv1:2,{LAYER}:2"
    assert page.locator(".compared li:first-child .blank").count() == 1
    page.click(".compared li:first-child h2 a")
    assert visit.path == "conv1/0002.html"


@pytest.mark.parametrize(
    ("stored", "n_units"),
    [(f'["{LAYER}:2","fc:1"]', 2), ('{"a":1}', 0), ("not JSON", 0)],  # the first of older sites
    ids=["names alone", "something else", "damaged"],
)
def test_what_browsers_have_stored_is_read_or_left_alone(visit: Visit, stored: str, n_units: int):
    page = visit.open(f"{LAYER}/0003.html")
    page.click("button:text-is('Compare')")
    page.evaluate(
        """(stored) => Object.keys(localStorage).filter((key) => key.startsWith("atlas-compare"))
            .forEach((key) => localStorage.setItem(key, stored))""",
        stored,
    )
    page = visit.open(f"{LAYER}/0002.html")
    assert page.locator(".tray img").count() == n_units
    assert page.get_attribute(".tools button", "aria-pressed") == str(n_units > 0).lower()


def test_a_picture_is_downloaded_under_its_own_name(visit: Visit, site: Path):
    page = visit.open(f"{LAYER}/0002.html")
    with page.expect_download() as download:
        page.click("text=Download picture")
    assert download.value.suggested_filename == f"{LAYER}-2.webp"
    original = (site / LAYER / "0002.webp").read_bytes()
    assert Path(download.value.path()).read_bytes() == original


def test_a_missing_address_leads_home_from_any_depth(visit: Visit):
    page = visit.open("layer9/deep/er.html")
    page.click("main a[href$='/sub/path/index.html']")
    assert visit.path == "index.html"
    assert all("404" in said for said in visit.wrong)
    visit.wrong.clear()


def test_print_and_reduced_motion_are_respected(visit: Visit):
    page = visit.open(f"{LAYER}/0002.html")
    page.emulate_media(media="print")
    for part in (".search", ".tools", ".pager"):
        assert page.locator(part).is_hidden()
    page.emulate_media(media="screen", reduced_motion="reduce")
    behaviour = page.evaluate("getComputedStyle(document.documentElement).scrollBehavior")
    assert behaviour == "auto"
    page = visit.open(PAGES["layer"])
    assert page.locator("dt:has-text('Kernel')").is_hidden()
    page.emulate_media(media="print")  # on paper, nothing stays folded
    assert page.locator("dt:has-text('Kernel')").is_visible()
    assert page.locator(".controls").is_hidden()


def test_focus_is_visible_and_the_first_stop_skips_to_the_content(visit: Visit):
    page = visit.open("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("width_px", [360, 1280])
def test_the_kernels_of_a_circuit_come_at_any_width(visit: Visit, width_px: int):
    visit.resize(width_px, 700)
    page = visit.open("layer1.0.conv1/0002.html")  # which a 3 x 3 convolution reads
    page.locator(".outputs svg:has(foreignObject)").first.scroll_into_view_if_needed()
    image = page.wait_for_selector(".outputs foreignObject img[src]", state="attached")
    image.evaluate("image => image.decode()")
    # The whole sheet has room, or the part that is looked at may be cut off.
    assert image.evaluate("image => image.offsetWidth >= image.naturalWidth")


def test_similar_units_stand_beside_a_circuit_of_inputs_alone(visit: Visit):
    visit.resize(1280, 700)
    for path, is_beside in (("fc/0001.html", True), (f"{LAYER}/0002.html", False)):
        page = visit.open(path)
        circuit = page.locator("section:has(> .circuit)").bounding_box()
        similar = page.locator("section:has(> .likeness)").bounding_box()
        assert (similar["x"] >= circuit["x"] + circuit["width"]) == is_beside
        assert (similar["y"] >= circuit["y"] + circuit["height"]) != is_beside


def test_pictures_of_other_units_and_photographs_wait_until_they_are_near(visit: Visit):
    visit.resize(1280, 400)
    page = visit.open(f"{LAYER}/0002.html")
    page.wait_for_load_state("networkidle")
    others = page.locator(".circuit :is(a, foreignObject) img, .alike img, .examples img")
    assert others.count() > 4
    assert [image.get_attribute("src") for image in others.all()] == [None] * others.count()
    others.first.scroll_into_view_if_needed()
    page.wait_for_selector(".examples img[src]")
    page.evaluate("document.querySelector('.examples img').decode()")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert None not in [image.get_attribute("src") for image in others.all()]


def test_where_pictures_are_blocked_words_say_what_they_are(visit: Visit):
    visit.page.route("**/*.webp", lambda route: route.abort())
    page = visit.open(f"{LAYER}/0002.html")
    see_everything(page)
    picture = page.locator(".pictures img").first
    assert picture.get_attribute("alt") == f"Synthetic picture that excites unit 2 of {LAYER}"
    assert picture.bounding_box()["width"] > 100  # its place is kept
    page = visit.open(PAGES["layer"])
    assert shown(page) == ["0", "1", "2", "3", "4"]
    assert all("ERR_FAILED" in said or said.startswith("failed") for said in visit.wrong)
    visit.wrong.clear()


def test_dead_units_can_be_found_in_their_layer(visit: Visit):
    page = visit.open(f"{PAGES['layer']}#by=dead&from=1")
    assert shown(page) == ["1"]


def look_at_map(visit: Visit, path: str) -> Any:
    """The map, as soon as its pictures are there."""
    page = visit.open(path)
    page.wait_for_selector(".atlas-map.viewed")
    return page


def test_a_click_on_the_map_opens_the_unit_whose_name_it_shows(browser: Any, base: str):
    with Visit(browser, base) as visit:
        page = look_at_map(visit, f"map.html#unit={LAYER}:3")
        marked = page.locator(".atlas-map .marked").bounding_box()
        assert marked["width"] > 80  # it was zoomed to
        x, y = marked["x"] + marked["width"] / 2, marked["y"] + marked["height"] / 2
        page.mouse.move(x + marked["width"], y)
        assert page.inner_text(".atlas-map .label").startswith(f"{LAYER}:4")
        page.mouse.move(x, y)
        page.wait_for_selector(f".atlas-map .label:has-text('{LAYER}:3')")
        page.mouse.click(x, y)
        page.wait_for_url("**/0003.html")
        assert visit.path == f"{LAYER}/0003.html"
        page.click("text=Show on the map")
        page.wait_for_selector(".atlas-map.viewed .marked")
        assert page.inner_text(".atlas-map .label").startswith(f"{LAYER}:3")


def test_keys_move_the_map_and_open_the_unit_in_the_middle(visit: Visit):
    page = look_at_map(visit, f"map.html#unit={LAYER}:3")
    page.focus(".atlas-map .openseadragon-canvas")
    page.keyboard.press("?")
    assert "open the unit in the middle" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    page.keyboard.press("+")
    status = page.locator(".mapped > [role=status]")
    status.filter(has_text=f"In the middle: {LAYER}:3").wait_for(state="attached")
    assert "px=" in visit.path  # what is seen is in the address
    page.keyboard.press("r")  # turns nothing
    page.keyboard.press("Enter")
    page.wait_for_url("**/0003.html")
    assert visit.path == f"{LAYER}/0003.html"


PAINTED = """() => {
    const { width, height } = document.querySelector("canvas.colours");
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(document.querySelector("canvas.colours"), 0, 0);
    const cells = new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer);
    return new Set(cells.filter((cell) => cell)).size;
}"""  # how many colours there are


def test_colours_of_the_map_are_in_its_address(visit: Visit):
    page = look_at_map(visit, "map.html")
    page.select_option("[name=colour]", "layer")
    n_layers = page.locator("[name=only] option").count() - 1
    assert page.evaluate(PAINTED) == n_layers > 5  # a colour for each
    page.select_option("[name=only]", LAYER)
    assert page.evaluate(PAINTED) == 1  # that of what covers the others
    assert "5 units" in page.inner_text(".key-of-map")
    assert visit.path == f"map.html#colour=layer&only={LAYER}"
    page.reload()
    page.wait_for_selector(".atlas-map.viewed")
    assert page.input_value("[name=only]") == LAYER
    assert violations(page) == []
    page.select_option("[name=colour]", "class")
    assert "layer" not in visit.path and page.input_value("[name=only]") == ""


@pytest.mark.parametrize("screen", [(360, 740), (1280, 720), (1920, 1080)])
def test_a_layer_begins_with_its_units(visit: Visit, screen: tuple[int, int]):
    width, height = screen
    visit.resize(width, height)
    page = visit.open(PAGES["layer"])
    assert page.locator(".cell").first.bounding_box()["y"] < 0.75 * height
    assert page.locator("dt:has-text('Kernel')").is_hidden()


@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_controls_stay_inside_the_margins(visit: Visit, width: int):
    page = visit.open(f"{PAGES['layer']}#by=orientation+selectivity&from=0.1&to=1")
    visit.resize(width, 800)
    unfold(page)
    heading, *controls = page.evaluate(
        """() => ["h1", ".cells", ".presets", ".controls :is(select, input)"]
            .flatMap((each) => [...document.querySelectorAll(each)])
            .map((each) => each.getBoundingClientRect()).filter(({ width }) => width)
            .map(({ left, right }) => [left, right])"""
    )
    assert len(controls) > 8
    outside = [
        (left, right)
        for left, right in controls
        if left < heading[0] - 2.5 or right > heading[1] + 2.5
    ]
    assert not outside, (heading, outside)


def test_controls_stay_in_sight_while_units_are_scrolled(visit: Visit):
    visit.resize(1280, 300)
    page = visit.open(f"{PAGES['layer']}#size=L")
    page.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    assert page.evaluate("scrollY") > 200
    assert page.locator(".controls").bounding_box()["y"] == 0


@pytest.mark.parametrize(
    ("kind", "typed", "unit"),
    [("layer", "3", "0003.html"), ("classifier", "Great g", "0003.html")],
)
def test_a_unit_is_gone_to_by_its_number_or_name(visit: Visit, kind: str, typed: str, unit: str):
    page = visit.open(PAGES[kind])
    page.fill("[name=unit]", typed)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('href')") == unit


def test_a_unit_that_is_not_there_is_not_gone_to(visit: Visit):
    page = visit.open(f"{PAGES['layer']}#by=dead&from=1")
    for typed, words in (("99", "There is no 99 here"), ("3", "3 is filtered out")):
        page.fill("[name=unit]", typed)
        page.keyboard.press("Enter")
        assert page.inner_text("output") == words


def test_a_press_shows_units_of_one_sort_and_another_all_of_them(visit: Visit):
    page = visit.open(PAGES["layer"])
    sorts = page.locator(".presets button")
    assert sorts.all_text_contents() == ["rising diagonals", "dead"]
    sorts.first.click()
    assert shown(page) == ["0", "2", "3", "4"]
    assert sorts.first.get_attribute("aria-pressed") == "true"
    assert "by=orientation" in page.url
    sorts.first.click()
    assert shown(page) == ["0", "1", "2", "3", "4"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site whose layers have more units than are laid out at once."""
    out_dir = tmp_path_factory.mktemp("large")
    facts = site_factory.network(n_blocks=(1,), width=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_pages, "N_AT_ONCE", 6)
        write_site(site_factory.contents(facts)[0], out_dir)
    with serve(out_dir) as address:
        yield address


def test_units_that_come_later_are_all_there_with_scripts_and_without(browser: Any, large: str):
    numbers = [str(nth) for nth in range(16)]
    path = "layer1.0.conv3/index.html"
    with Visit(browser, large) as visit, Visit(browser, large, java_script_enabled=False) as plain:
        page, bare = visit.open(path), plain.open(path)
        page.wait_for_selector(".grid li >> nth=15")
        assert shown(page) == numbers
        assert bare.locator(".grid li b").all_text_contents() == numbers
        tops, others = (
            [each.bounding_box()["y"] for each in one.locator(".grid li").all()]
            for one in (bare, page)
        )
        assert {top - tops[0] for top in tops} == {top - others[0] for top in others}  # one grid
        assert page.locator(".grid img").count() == bare.locator(".grid img").count() == 16
        page.goto("about:blank")
        visit.open(f"{path}#sort=peak")
        assert shown(page) == numbers[::-1]


@pytest.mark.parametrize("kind", ["network", "layer", "unit", "class", "map"])
def test_nothing_moves_while_a_page_opens(browser: Any, served: str, kind: str):
    for width in (390, 1280):
        with Visit(browser, served, viewport={"width": width, "height": 844}) as visit:
            page = visit.open(PAGES[kind])
            moved = page.evaluate(
                """() => new Promise((done) => {
                    let sum = 0;
                    const add = (list) => list.getEntries().forEach(({ value }) => (sum += value));
                    new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
                    setTimeout(() => done(sum), 300);
                })"""
            )
            assert moved <= 0.02


def test_a_key_that_is_held_down_turns_one_page_only(visit: Visit):
    page = visit.open(f"{LAYER}/0001.html")
    page.keyboard.down("ArrowRight")
    page.wait_for_url(f"**/{LAYER}/0002.html")
    page.keyboard.down("ArrowRight")  # what a held key says again and again
    page.wait_for_timeout(200)
    page.keyboard.up("ArrowRight")
    assert visit.path == f"{LAYER}/0002.html"


def test_the_up_arrow_only_scrolls(visit: Visit):
    page = visit.open(f"{LAYER}/0001.html")
    page.keyboard.press("ArrowUp")
    page.wait_for_timeout(200)
    assert visit.path == f"{LAYER}/0001.html"


def test_arrows_in_the_list_of_hits_leave_the_page_as_it_is(visit: Visit):
    page = visit.open(f"{LAYER}/0001.html")
    page.fill(".search input", f"{LAYER} 2")
    page.wait_for_selector(".search li a")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.matches('.search li a')")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert visit.path == f"{LAYER}/0001.html"


def test_keys_are_listed_and_can_be_switched_off_for_good(visit: Visit):
    page = visit.open(f"{LAYER}/0002.html")
    page.keyboard.press("?")
    assert "from a unit to its layer" in page.inner_text("dialog")
    assert violations(page) == []
    page.uncheck("dialog input")
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()
    page.click("button:text-is('Keys')")  # a second time
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    for key in ("u", "?", "/", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_timeout(200)
    assert visit.path == f"{LAYER}/0002.html" and page.locator("dialog").is_hidden()
    page.reload()
    page.click("button:text-is('Keys')")
    assert not page.is_checked("dialog input")
    page.check("dialog input")
    page.click("dialog button:text-is('Close')")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("u")
    page.wait_for_url(f"**/{LAYER}/index.html")


def test_arrows_move_inside_the_grid(visit: Visit):
    visit.resize(320, 800)  # three units a row
    page = visit.open(PAGES["layer"])
    page.locator(".grid a").first.focus()
    reached = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "ArrowUp", "End"):
        page.keyboard.press(key)
        reached.append(page.evaluate("document.activeElement.querySelector('b').textContent"))
    assert reached == ["1", "2", "1", "4", "1", "1", "4"]


@pytest.mark.parametrize(
    ("view", "order"),
    [("size=L", "01234"), ("sort=peak", "43210"), ("sort=peak&order=up&by=peak&from=10", "234")],
)
def test_next_is_the_next_in_the_order_of_the_layer(browser: Any, base: str, view: str, order: str):
    with Visit(browser, base) as visit:
        page = visit.open(f"{PAGES['layer']}#{view}")
        settle(page)
        page.click(".grid a >> nth=0")
        for number, following in itertools.pairwise(order):
            assert page.inner_text("h1").endswith(number)
            page.wait_for_selector(f"main a[rel=next]:text-is('{following}')")
            page.keyboard.press("ArrowRight")
            page.wait_for_url(f"**/000{following}.html*")
        page.wait_for_selector("main a[rel=next]", state="detached")
        page.keyboard.press("u")
        page.wait_for_url(f"**/{PAGES['layer']}#{view}")
        assert shown(page) == list(order)


def test_skipping_to_the_content_keeps_the_view(visit: Visit):
    page = visit.open(f"{PAGES['layer']}#sort=peak")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.localName") == "main"
    assert page.url.endswith("#sort=peak") and shown(page) == ["4", "3", "2", "1", "0"]
