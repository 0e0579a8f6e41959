"""A browser, and visits to a site in it that notice whatever goes wrong.

Skips the tests that use it where there is no Chromium or Playwright. With ATLAS_REQUIRE_BROWSER
set, as in .ci/run, what is missing is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from host import BELOW

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

AXE_SCRIPT = Axe().axe_script
FIND_VIOLATIONS = "(options) => axe.run(options).then(({ violations }) => violations)"
RULES_OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


@contextmanager
def launch() -> Iterator[Any]:
    """Chromium, without a window."""
    assert EXECUTABLE, "no Chromium on this machine; install Debian's package chromium"
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page. Whoever is done with it hears what went wrong on it, or where else it asked."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.base = base
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.finished: list[Any] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(f"{self.path}: {error}"))
        self.page.on("request", self._ask)
        self.page.on("requestfailed", self._fail)
        self.page.on("requestfinished", self._finish)
        self.page.on("response", self._check)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.context.close()
        if error is None:
            self.complain()

    def complain(self) -> None:
        """Fail with what went wrong since the last time."""
        wrong, self.wrong = self.wrong, []
        assert not wrong, wrong

    def begin_anew(self) -> None:
        """Leave the page, and keep nothing of what was stored, set or heard.

        A new context does the same, and starts a process, which takes longer than most tests.
        """
        self.page.unroute_all()
        self.page.emulate_media(
            media="null", color_scheme="light", reduced_motion="no-preference", forced_colors="none"
        )
        self.page.mouse.move(0, 0)
        self.page.goto("about:blank")
        session = self.context.new_cdp_session(self.page)
        stored = {"origin": self.base.removesuffix(BELOW), "storageTypes": "local_storage"}
        session.send("Storage.clearDataForOrigin", stored)
        session.detach()
        self.page.set_viewport_size({"width": 1280, "height": 720})
        self.wrong.clear()
        self.finished.clear()

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{self.path}: {message.text}")

    def _ask(self, request: Any) -> None:
        if not request.url.startswith(self.base):
            self.wrong.append(f"left the site for {request.url}")

    def _fail(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a reader leaves before it has come
            self.wrong.append(f"failed {request.url}")

    def _finish(self, request: Any) -> None:
        self.finished.append(request)

    def _check(self, response: Any) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.status} {response.url}")

    def open(self, path: str) -> Any:
        """The page at a path of the site."""
        self.page.goto(f"{self.base}/{path}")
        return self.page

    def resize(self, width_px: int, height_px: int) -> None:
        """Show the page in a window of another size, and wait until it has it."""
        self.page.set_viewport_size({"width": width_px, "height": height_px})
        self.page.evaluate(
            """([width, height]) => new Promise((done) => {
                let frames = 0;
                const resized = () => innerWidth === width && innerHeight === height;
                const look = () =>
                    requestAnimationFrame(resized() || frames++ > 200 ? done : look);
                look();
            })""",
            [width_px, height_px],
        )

    @property
    def path(self) -> str:
        """Where in the site the reader is."""
        return self.page.url.removeprefix(f"{self.base}/")

    @property
    def sizes(self) -> dict[str, int]:
        """By path, the bytes of all that has come, as it came: compressed, where it was."""
        return {
            request.url.removeprefix(f"{self.base}/"): request.sizes()["responseBodySize"]
            for request in self.finished
        }


def see_everything(page: Any) -> None:
    """Load also the pictures that wait until somebody scrolls to them."""
    page.evaluate(
        """() => {
            dispatchEvent(new Event("beforeprint"));
            return Promise.all([...document.images].map((image) => {
                image.loading = "eager";
                const complete = image.complete && image.currentSrc;
                return complete || new Promise((done) => (image.onload = image.onerror = done));
            }));
        }"""
    )


def violations(page: Any) -> list[str]:
    """What axe-core has to say; of the dark theme, which has other colours, about these alone."""
    page.evaluate(AXE_SCRIPT)
    said = []
    for scheme, rules in (("light", {}), ("dark", RULES_OF_COLOURS)):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(FIND_VIOLATIONS, {"resultTypes": ["violations"], **rules})
        for each in found:
            said += [f"{scheme}: {each['id']}: {node['html'][:200]}" for node in each["nodes"][:3]]
    return said
