"""The site in a real browser: found, compared, shared, on any screen, with and without scripts.

Runs where there are Chromium and Playwright. With ATLAS_REQUIRE_BROWSER set, as in .ci/run, a
missing browser is a failure.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import site_factory
from site_factory import EVIL

from atlas.site.writer import write_site
from atlas.units import Unit

REQUIRED = bool(os.environ.get("ATLAS_REQUIRE_BROWSER"))
EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

if REQUIRED:
    import playwright.sync_api as playwright
    from axe_playwright_python.sync_playwright import Axe
else:
    playwright = pytest.importorskip("playwright.sync_api")
    Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
    if EXECUTABLE is None:
        pytest.skip("no Chromium on this machine", allow_module_level=True)

LAYER = "layer1.0.conv2"
LIKE = "cat-01234567"
PAGES = {
    "network": "index.html",
    "layer": f"{LAYER}/index.html",
    "classifier": "fc/index.html",
    "unit": f"{LAYER}/0002.html",
    "class": "fc/0003.html",
    "classes": "classes.html",
    "about": "about.html",
    "like": f"like/{LIKE}.html",
    "compare": f"compare.html#{LAYER}:2,fc:1",
    "empty comparison": "compare.html",
    "partial layer": "conv1/index.html",
    "unit without a picture": "conv1/0002.html",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole atlas but for some units of its first layer, below a folder as on GitHub Pages."""
    root = tmp_path_factory.mktemp("served")
    facts = site_factory.network(n_blocks=(2, 1))

    def wanted(unit: Unit, kind: str) -> bool:
        return unit.layer != "conv1" or unit.index < 2 or (unit.index == 2 and kind == "filter")

    contents, pictures = site_factory.contents(facts, wanted)
    contents.entries[f"{LAYER}:1"]["excitatory"].numbers["dead"] = True
    like = site_factory.like(pictures, facts, LIKE)
    write_site(dataclasses.replace(contents, likes=(like,)), root / "sub" / "path")
    return root / "sub" / "path"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """As GitHub Pages: 404.html in place of what is not there."""

    def log_message(self, *_: Any) -> None:
        pass

    def send_error(self, code: int, *_: Any) -> None:
        body = (Path(self.directory) / "sub" / "path" / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The address of the site on this machine."""
    handler = functools.partial(Quiet, directory=str(site.parents[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sub/path"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert EXECUTABLE, "no Chromium on this machine; install Debian's package chromium"
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page, and what went wrong on it."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.base = base
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(5000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"failed {request.url}"))
        self.page.on("response", self._check)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _check(self, response: Any) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.status} {response.url}")

    def open(self, path: str) -> Any:
        self.page.goto(f"{self.base}/{path}")
        return self.page

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(f"{self.base}/")


@pytest.fixture
def visit(browser: Any, served: str) -> Iterator[Visit]:
    made = Visit(browser, served)
    yield made
    made.context.close()


def see_everything(page: Any) -> None:
    """Scroll to the end, so that what is loaded lazily is loaded."""
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_no_page_says_anything_wrong_or_asks_another_host(
    browser: Any, served: str, site: Path, scheme: str
):
    base = served if scheme == "http" else site.as_uri()
    visit = Visit(browser, base)
    for path in PAGES.values():
        see_everything(visit.open(path))
    assert visit.wrong == []
    assert visit.requests and all(request.startswith(base) for request in visit.requests)
    visit.context.close()


@pytest.mark.parametrize("width_px", [360, 1600])
@pytest.mark.parametrize("kind", PAGES)
def test_no_page_is_wider_than_its_screen(browser: Any, served: str, kind: str, width_px: int):
    visit = Visit(browser, served, viewport={"width": width_px, "height": 800})
    page = visit.open(PAGES[kind])
    see_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_no_violation(browser: Any, served: str, kind: str, scheme: str):
    visit = Visit(browser, served, color_scheme=scheme)
    found = Axe().run(visit.open(PAGES[kind]))
    said = [
        f"{each['id']}: {node['html'][:200]}"
        for each in found.response["violations"]
        for node in each["nodes"][:3]
    ]
    assert said == []
    visit.context.close()


def test_without_scripts_all_content_and_links_are_there(browser: Any, served: str):
    visit = Visit(browser, served, java_script_enabled=False)
    page = visit.open("index.html")
    page.click(f"a.tile[href='{LAYER}/index.html']")
    assert page.locator(".grid li").count() == 5
    page.click(".grid a >> nth=2")
    assert visit.path == f"{LAYER}/0002.html"
    for heading in ("Evidence", "In photographs", "Circuit", "Tuning", "Similar units"):
        assert page.locator(f"h2:text-is('{heading}')").is_visible()
    page.click("a[rel=next]")
    assert visit.path == f"{LAYER}/0003.html"
    visit.open("compare.html")
    assert "JavaScript, which is off" in page.inner_text("main")
    visit.context.close()


def test_a_mouse_leads_from_the_network_to_a_unit_and_on(visit: Visit):
    page = visit.open("index.html")
    page.click(f"a.tile[href='{LAYER}/index.html']")
    page.click(".grid a >> nth=1")
    assert page.inner_text("h1") == "Unit 1" and "A dead unit." in page.inner_text("main")
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
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_classes_units_and_layers_by_keyboard_alone(
    browser: Any, served: str, site: Path, scheme: str, typed: str, path: str
):
    visit = Visit(browser, served if scheme == "http" else site.as_uri())
    page = visit.open("about.html")
    page.keyboard.press("/")
    page.keyboard.type(typed)
    page.wait_for_selector(".search a")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{path}")
    visit.context.close()


def test_escape_leaves_the_search_and_nothing_found_is_said(visit: Visit):
    page = visit.open("about.html")
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    page.wait_for_selector(".search li:has-text('Nothing found')")
    page.keyboard.press("Escape")
    assert page.locator(".search ul").is_hidden()


def shown(page: Any) -> list[str]:
    return page.locator(".grid li:visible b").all_inner_texts()


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


def test_themes_are_switched_kept_and_follow_the_system(browser: Any, served: str):
    visit = Visit(browser, served, color_scheme="dark")
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
    visit.context.close()


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
    assert visit.path == f"compare.html#{LAYER}:2,fc:1"
    assert page.locator(".compared img").count() == 2
    page.wait_for_selector("figcaption a:has-text('(fc:1)')")
    assert EVIL in page.inner_text(".compared")
    other = Visit(browser, served)  # somebody else, with nothing collected
    assert other.open(visit.path).locator(".compared img").count() == 2
    other.context.close()
    page.click("button[aria-label='Remove fc:1']")
    assert page.locator(".compared img").count() == 1
    visit.open(f"{LAYER}/0002.html")
    assert page.get_attribute(".tools button", "aria-pressed") == "true"
    page.click("button:text-is('Clear')")
    assert page.locator(".tray").count() == 0


def test_what_is_not_in_the_atlas_is_compared_without_harm(visit: Visit):
    page = visit.open("compare.html#fc:99999,<img>,javascript:alert(1)")
    page.wait_for_selector(".compared .blank")
    assert page.locator(".compared li").count() == 1


def test_a_citation_names_the_unit_the_weights_and_the_recipe(browser: Any, served: str):
    visit = Visit(browser, served, permissions=["clipboard-read", "clipboard-write"])
    page = visit.open(f"{LAYER}/0002.html")
    page.click("button:text-is('Cite')")
    page.wait_for_selector("button:text-is('Copied')")
    cited = page.evaluate("navigator.clipboard.readText()")
    for words in (
        "@misc{atlas-layer1-0-conv2-2,",
        f"{LAYER}:2 of TinyNet",
        f"url = {{{served}/{LAYER}/0002.html}}",
        "tiny.safetensors",
        "0123456789ab",
    ):
        assert words in cited
    visit.context.close()


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


def test_print_and_reduced_motion_are_respected(visit: Visit):
    page = visit.open(f"{LAYER}/0002.html")
    page.emulate_media(media="print")
    for part in (".search", ".tools", ".pager"):
        assert page.locator(part).is_hidden()
    page.emulate_media(media="screen", reduced_motion="reduce")
    behaviour = page.evaluate("getComputedStyle(document.documentElement).scrollBehavior")
    assert behaviour == "auto"


def test_focus_is_visible_and_the_first_stop_skips_to_the_content(visit: Visit):
    page = visit.open("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


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


def test_dead_units_can_be_found_in_their_layer(visit: Visit):
    page = visit.open(f"{PAGES['layer']}#by=dead&from=1")
    assert shown(page) == ["1"]


def test_a_first_view_is_small(visit: Visit):
    """All that a page loads before anybody scrolls, its text as it is compressed for transfer."""
    sizes: dict[str, int] = {}

    def weigh(response: Any) -> None:
        body = response.body()
        path = response.url.removeprefix(f"{visit.base}/")
        sizes[path] = len(body) if path.endswith(".webp") else len(gzip.compress(body))

    visit.page.on("response", weigh)
    visit.open(PAGES["unit"]).wait_for_load_state("networkidle")
    text = {path: size for path, size in sizes.items() if not path.endswith(".webp")}
    assert sum(text.values()) <= 24_000
    assert sum(sizes.values()) <= 150_000
