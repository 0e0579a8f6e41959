"""The demo's atlas in a real browser: real numbers, names and pictures instead of made-up ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host import serve
from test_command import run
from visits import Visit, launch, see_everything, violations

PAGES = (
    "index.html",
    "classes.html",
    "find.html",
    "conv1/index.html",
    "conv1/0001.html",
    "layer2.1.conv2/index.html",
    "layer2.1.conv2/0003.html",
    "fc/index.html",
    "fc/0002.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    some = ("--layers", "conv1,layer2.1.conv2,fc", "--units", "0-5", "--preset", "preview")
    result = run("--demo", *some, "--out", folder / "site", "--cache", folder / "cache")
    assert result.code == 0, result.err
    return folder / "site"


@pytest.fixture(scope="module")
def visits(site: Path) -> Iterator[tuple[Any, str]]:
    with serve(site) as address, launch() as browser:
        yield browser, address


def test_pages_fit_on_phones_and_axe_finds_no_violation(visits: tuple[Any, str]):
    with Visit(*visits, viewport={"width": 360, "height": 800}) as visit:
        for path in PAGES:
            page = visit.open(path)
            see_everything(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
            assert violations(page) == [], path


def test_a_layer_is_sorted_by_what_was_measured(visits: tuple[Any, str]):
    with Visit(*visits) as visit:
        page = visit.open("layer2.1.conv2/index.html")
        page.select_option("[name=sort]", "peak")
        page.wait_for_selector(".units:not([aria-busy])")
        shown = page.locator(".grid i").all_text_contents()
        peaks = [float(text.replace("−", "-")) for text in shown]
        assert len(peaks) == 6
        assert peaks == sorted(peaks, reverse=True) != sorted(peaks)
