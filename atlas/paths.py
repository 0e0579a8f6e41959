"""Paths of the pages, pictures, sheets and folders of a site.

No other module of the package spells one. Templates see this module as `paths`, and the scripts of
the pages are given the patterns. All paths are relative to the site's root, with forward slashes.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from atlas.units import NetworkFacts, Unit

UNIT_DIGITS = 4  # of a unit's index in file names, filled with zeros
UNIT_PAGE = "{layer}/{unit}.html"
UNIT_PICTURE = "{layer}/{unit}.webp"
LAYER_PAGE = "{layer}/index.html"
LAYER_COMPARED = "{layer}/compared.js"
LAYER_VALUES = "{layer}/values.js"  # numbers to sort a layer's units by
LAYER_PHOTOGRAPHS = "{layer}/photographs.js"  # which parts of which drive its units most
SHEET = "{stem}-{number}.webp"
SHEET_DIGITS = 2
PHOTOGRAPH = "photographs/p{unit}.webp"  # numbered as units are; no unit's picture is called so
MAP_TILE = "map/{cell}-{column}-{row}.webp"  # side of a cell in pixels, and the tile's place

INDEX, TOUR, ABOUT, CLASSES, COMPARE, DATA, EMBED, FIND, LOST, MAP = (
    "index.html",
    "tour.html",
    "about.html",
    "classes.html",
    "compare.html",
    "data.html",
    "embed.html",
    "find.html",
    "404.html",
    "map.html",
)
MANIFEST, SEARCH_INDEX = "manifest.json", "search-index.js"
FIND_INDEX, MAP_DATA = "find-index.js", "map-data.js"
MANIFEST_SCHEMA, UNITS_SCHEMA = "manifest.schema.json", "units.schema.json"
GLOSSARY = "glossary.js"
ATLASES = "atlases.js"  # of a site of several atlases, each in a folder of its own
STATIC_DIR = "static"
MAP_DIR = "map"  # of the tiles of the map
PHOTOGRAPHS_DIR = "photographs"  # of whole photographs
FAVICON = "favicon.svg"
COVER = "cover.webp"
LIKE_DIR, CARICATURE_DIR, MIX_DIR, VARIANTS_DIR = "like", "caricature", "mix", "variants"
ON_DEMAND_DIRS = (LIKE_DIR, CARICATURE_DIR, MIX_DIR, VARIANTS_DIR)  # of pages that were asked for
RESIDUAL_GLOSSARY = "residual-glossary.html"  # a template: words for networks with sums
FAMILY_GLOSSARY = "family-glossary.html"  # a template, not a page
LOCK = ".atlas-lock"  # while a build writes
NO_JEKYLL = ".nojekyll"
ROOT_FILES = frozenset(
    (
        *(INDEX, TOUR, ABOUT, CLASSES, COMPARE, DATA, EMBED, FIND, LOST, MAP),
        *(MANIFEST, MANIFEST_SCHEMA, UNITS_SCHEMA, SEARCH_INDEX, FIND_INDEX, MAP_DATA, GLOSSARY),
        *(ATLASES, FAVICON, NO_JEKYLL),
    )
)

MAX_PART = 200  # bytes of one part of a path; file systems take 255, and a prefix may be added
MAX_PATH = 1000  # bytes
_MAX_DIGITS = 10  # of the number of a picture
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]|[\ud800-\udfff]|[. ]$|^\.(?!nojekyll$)|^$')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)  # on Windows
_IN_ROOT = re.compile(r"[a-z][a-z-]*-\d{2,}\.webp")
_IN_LAYER_SCRIPTS = tuple(
    path.rpartition("/")[2] for path in (LAYER_COMPARED, LAYER_VALUES, LAYER_PHOTOGRAPHS)
)
_IN_LAYER = re.compile(
    r"index\.html|units\.json|(compared|values|photographs)\.js|cover\.webp|\d{4,}\.(html|webp)"
    r"|[a-z][a-z_-]*-\d{2,}\.webp"
)
_ATLAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FOLDERS = (STATIC_DIR, *ON_DEMAND_DIRS, MAP_DIR, PHOTOGRAPHS_DIR)
TAKEN_NAMES = (*_FOLDERS, *sorted(ROOT_FILES))  # no atlas can be called so
_NAMES_IN = {  # names of the files in folders that are not those of layers
    MAP_DIR: re.compile(r"\d+-\d+-\d+\.webp"),
    PHOTOGRAPHS_DIR: re.compile(r"p\d{4,}\.webp"),
    **dict.fromkeys(ON_DEMAND_DIRS, re.compile(r"[a-z0-9-]+\.(html|webp)")),
}


def is_safe(path: str) -> bool:
    """Whether a path of the site is inside it on every system, and has no odd characters.

    Paths hold names of layers and units, which come from weights and caches of others.
    """
    return len(path.encode("utf-8", "replace")) <= MAX_PATH and all(
        not _UNSAFE.search(part)
        and not _RESERVED.match(part)
        and len(part.encode("utf-8", "replace")) <= MAX_PART
        for part in path.split("/")
    )


def is_atlas_name(name: str) -> bool:
    """Whether a name can be that of an atlas's folder, in a site of several."""
    return bool(_ATLAS.fullmatch(name)) and is_safe(name) and name.lower() not in TAKEN_NAMES


def is_layer_name(name: str) -> bool:
    """Whether a layer's folder can be called as the layer is, on every system."""
    return is_safe(name) and "/" not in name


def folder_on_any_system(layer: str) -> str:
    """What tells a layer's folder from others on every system.

    macOS and Windows take upper and lower case for the same, macOS both ways to write an accent.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", layer).casefold())


def are_safe(facts: NetworkFacts) -> bool:
    """Whether all layers of a network have names of folders, each another, and are in order."""
    names = [layer.name for layer in facts.layers]
    return (
        all(map(is_layer_name, names))
        and len({*map(folder_on_any_system, names)}) == len(names)
        and all(before.index < after.index for before, after in pairwise(facts.layers))
        and all(0 < layer.n_units < 10**7 for layer in facts.layers)
    )


def is_ours(path: str) -> bool:
    """Whether a path is one that a build would write: by its name, whatever is in the file."""
    if not is_safe(path):
        return False
    folder, _, name = path.rpartition("/")
    if not folder:
        return name in ROOT_FILES or bool(_IN_ROOT.fullmatch(name))
    if folder == STATIC_DIR or folder.startswith(f"{STATIC_DIR}/"):
        return True
    if folder in _NAMES_IN and _NAMES_IN[folder].fullmatch(name):
        return True
    return "/" not in folder and bool(_IN_LAYER.fullmatch(name))


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


def layer_compared(layer: str) -> str:
    """Path of what the page of comparisons shows of a layer's units."""
    return LAYER_COMPARED.format(layer=layer)


def layer_values(layer: str) -> str:
    """Path of the numbers that a layer's units are sorted by, for the scripts of its pages."""
    return LAYER_VALUES.format(layer=layer)


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


def layer_photographs(layer: str) -> str:
    """Path of what the grid of a layer shows of photographs."""
    return LAYER_PHOTOGRAPHS.format(layer=layer)


def photograph(number: int) -> str:
    """Path of a whole photograph."""
    return PHOTOGRAPH.format(unit=str(number).zfill(UNIT_DIGITS))


def map_tile(cell_px: int, column: int, row: int) -> str:
    """Path of a tile of the map."""
    return MAP_TILE.format(cell=cell_px, column=column, row=row)


def on_demand_page(folder: str, slug: str) -> str:
    """Path of a page that somebody asked for, from the page's name."""
    return f"{folder}/{slug}.html"


def on_demand_picture(folder: str, unit: str) -> str:
    """Path of a picture of such a page, from the name of the page and the picture's number."""
    slug, number = on_demand_parts(unit)
    suffix = "" if number is None else f"-{number:0{UNIT_DIGITS}d}"
    return f"{folder}/{slug}{suffix}.webp"


def on_demand_parts(unit: str) -> tuple[str, int | None]:
    """The name of a page and the number of one of its pictures: `cat-0a1b2c3d:7`."""
    slug, colon, number = unit.partition(":")
    is_number = colon and number.isdecimal() and len(number) < _MAX_DIGITS
    return (slug, int(number)) if is_number else (unit, None)


def slug(stem: str, sha256: str) -> str:
    """The name of such a page: letters and digits of what it is about, and a digest."""
    safe = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40]
    return f"{safe}-{sha256[:8]}".lstrip("-")


def compared_picture(layer: str, side: str, index: int) -> str:
    """Path of the excitatory picture of a unit of network "a" or "b", where two are compared."""
    return f"{layer}/picture-{side}-{index:0{UNIT_DIGITS}d}.webp"


def compared_weights(layer: str, side: str, index: int) -> str:
    """Path of the picture of the weights of a unit of network "a" or "b"."""
    return f"{layer}/weights-{side}-{index:0{UNIT_DIGITS}d}.webp"


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
    if folder in ON_DEMAND_DIRS and re.fullmatch(r"(.*-)?[0-9a-f]{8}(-\d{4,})?\.webp", name):
        return "on demand"
    if folder in (MAP_DIR, PHOTOGRAPHS_DIR) and _NAMES_IN[folder].fullmatch(name):
        return folder
    if sheet := re.fullmatch(r"([a-z][a-z-]*)-\d+\.webp", name):
        return sheet[1]
    if name.endswith(".webp"):
        return "pictures"
    scripts = (SEARCH_INDEX, FIND_INDEX, MAP_DATA, GLOSSARY, ATLASES, *_IN_LAYER_SCRIPTS)
    is_data = name.endswith(".json") or name in scripts
    return "data" if is_data else "other"
