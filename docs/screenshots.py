#!/usr/bin/env python3
"""Take the README's screenshots: python docs/screenshots.py SITE.

SITE is an atlas of EfficientNet-Lite0, whose licence allows to show it. How it is built is in
docs/efficientnet-lite0.md. These parts of it are shown:

    --kinds dream
    --kinds filter,circuit
    --layers _blocks.7._project_conv
    --classes "goldfish,zebra,golden retriever,monarch"

It needs Chromium and the packages of `pip install -e ".[browser]"`.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).with_name("screenshots")
SHOTS = {  # page, scroll position and window height in pixels, theme
    "network": ("index.html", 2740, 900, "light"),
    "layer": ("_blocks.7._project_conv/index.html#sort=orientation", 0, 800, "dark"),
    "unit": ("_blocks.7._project_conv/0060.html", 0, 2165, "light"),
    "class": ("_fc/0001.html", 0, 1000, "light"),
}
WIDTH_PX = 1280


def main(site: Path) -> None:
    """Write one WebP for each shot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (path, scroll_px, height_px, theme) in SHOTS.items():
            context = browser.new_context(
                viewport={"width": WIDTH_PX, "height": height_px}, color_scheme=theme
            )
            page = context.new_page()
            page.goto(f"{site.resolve().as_uri()}/{path}")
            page.evaluate(f"window.scrollTo(0, {scroll_px})")
            page.wait_for_load_state("networkidle")
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture.save(FOLDER / f"{name}.webp", quality=80, method=6)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
