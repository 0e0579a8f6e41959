"""Paths of the pages, pictures, sheets and folders of a site.

No other module of the package spells one; templates link to the front pages by their names. All
paths are relative to the site's root, with forward slashes. The scripts of the pages are given the
patterns of paths.
"""

from __future__ import annotations

import re

from atlas.units import Unit

UNIT_DIGITS = 4  # of a unit's index in file names, filled with zeros
UNIT_PAGE = "{layer}/{unit}.html"
UNIT_PICTURE = "{layer}/{unit}.webp"
LAYER_PAGE = "{layer}/index.html"
SHEET = "{stem}-{number}.webp"
SHEET_DIGITS = 2

INDEX, ABOUT, CLASSES, COMPARE, LOST = (
    "index.html",
    "about.html",
    "classes.html",
    "compare.html",
    "404.html",
)
MANIFEST, SEARCH_INDEX = "manifest.json", "search-index.js"
STATIC_DIR = "static"
FAVICON = "favicon.svg"
COVER = "cover.webp"
LIKE_DIR = "like"
FAMILY_GLOSSARY = "family-glossary.html"  # a template, not a page


def unit_slug(unit: Unit) -> str:
    """`0117`, the stem of a unit's page and picture."""
    return str(unit.index).zfill(UNIT_DIGITS)


def unit_page(unit: Unit) -> str:
    """Path of a unit's page."""
    return UNIT_PAGE.format(layer=unit.layer, unit=unit_slug(unit))


def unit_picture(unit: Unit) -> str:
    """Path of a unit's picture."""
    return UNIT_PICTURE.format(layer=unit.layer, unit=unit_slug(unit))


def layer_page(layer: str) -> str:
    """Path of a layer's page."""
    return LAYER_PAGE.format(layer=layer)


def layer_data(layer: str) -> str:
    """Path of the numbers of a layer's units."""
    return f"{layer}/units.json"


def layer_picture(layer: str, name: str) -> str:
    """Path of a picture of a whole layer, from the picture's file name."""
    return f"{layer}/{name}"


def layer_cover(layer: str) -> str:
    """Path of the picture that represents a whole layer."""
    return f"{layer}/{COVER}"


def layer_sheet(layer: str, sheet: str) -> str:
    """Path of one of a layer's sprite sheets, from the sheet's file name."""
    return f"{layer}/{sheet}"


def sheet_name(stem: str, number: int) -> str:
    """`thumbs-03.webp`, the file name of a sprite sheet."""
    return SHEET.format(stem=stem, number=f"{number:0{SHEET_DIGITS}d}")


def like_page(slug: str) -> str:
    """Path of the page of an image that was looked up."""
    return f"{LIKE_DIR}/{slug}.html"


def like_picture(slug: str) -> str:
    """Path of an image that was looked up."""
    return f"{LIKE_DIR}/{slug}.webp"


def like_slug(stem: str, sha256: str) -> str:
    """The name of an image's page: letters and digits of its file's stem, and its digest."""
    safe = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40]
    return f"{safe}-{sha256[:8]}".lstrip("-")


def static_file(name: str) -> str:
    """Path of a style sheet or script; the favicon lies in the root."""
    return name if name == FAVICON else f"{STATIC_DIR}/{name}"


def file_name(path: str) -> str:
    """The last part of a path, which is how a page names a file in its own folder."""
    return path.rpartition("/")[2]


def part_of(path: str) -> str:
    """The part of the size report that includes a file; for a sheet, the sheet's stem."""
    folder, _, name = path.rpartition("/")
    if name.endswith(".html"):
        return "pages"
    if folder == LIKE_DIR:
        return "looked up"
    if sheet := re.fullmatch(r"([a-z][a-z-]*)-\d+\.webp", name):
        return sheet[1]
    if name.endswith(".webp"):
        return "pictures"
    return "data" if name.endswith(".json") or name == SEARCH_INDEX else "other"
