"""What a site consists of: every file, what it depends on, and how to make it.

Nothing is read, rendered or written here, so the whole plan costs a second or two.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from atlas.cache import Entry
from atlas.site import data_files, sprites
from atlas.site.layer_views import layer_view
from atlas.site.like_views import like_view
from atlas.site.network_views import (
    about_view,
    classes_view,
    compare_view,
    dream_picks,
    index_view,
    lost_view,
    mosaic_picks,
)
from atlas.site.sprites import (
    COVERS,
    EXAMPLES,
    MOSAICS,
    OF_OWN_SIZE,
    THUMBS,
    Place,
    SheetKind,
    place_of,
)
from atlas.site.templates import Templates
from atlas.site.unit_views import unit_view
from atlas.site.views import Contents
from atlas.spec import first_on_sheet
from atlas.units import (
    Kind,
    Layer,
    Unit,
    cover_path,
    layer_dir,
    like_page,
    like_picture_path,
    picture_path,
    unit_page,
)

FAVICON = "favicon.svg"


@dataclass(frozen=True)
class Output:
    """One file of the site."""

    path: str  # relative to the site's root
    digest: str  # of everything its bytes depend on
    artifacts: tuple[str, ...]  # keys to read from the cache
    produce: Callable[[Sequence[bytes]], bytes]  # from the artifacts' bytes, in order


def plan_outputs(
    contents: Contents, templates: Templates, static_dir: Path, program: str
) -> list[Output]:
    """Every file of the site, those that share artifacts close together.

    Args:
        contents: what to show.
        templates: of the pages.
        static_dir: of what is copied.
        program: the digest of all that makes pages from contents.
    """
    contents.prepare()
    front = Pages(templates, digest_of(program, contents.digest))
    outputs = list(_static_files(static_dir))
    outputs += _front_pages(contents, front)
    outputs += _covers(contents)
    outputs += _likes(contents, front)
    for layer in contents.facts.layers:
        pages = Pages(templates, digest_of(program, contents.digests[layer.name]))
        outputs += _layer_files(contents, pages, layer)
    return outputs


def digest_of(*parts: object) -> str:
    """A short digest of plain data; the same in every process."""
    text = json.dumps(parts, default=vars, check_circular=False)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class Pages(NamedTuple):
    """Pages that depend on the same things: on all of a layer, or on the whole atlas.

    To see which of them really change, they are made and compared with what is there: that is
    quicker than asking beforehand what each of them will show.
    """

    templates: Templates
    digest: str  # of all that they depend on

    def page(self, path: str, template: str, view: Callable[[], object]) -> Output:
        """One of them."""
        return self.data(path, lambda: self.templates.render(template, view()))

    def data(self, path: str, make: Callable[[], bytes]) -> Output:
        """A file for programs."""
        return Output(path, self.digest, (), lambda _: make())


def _as_given(path: str, data: bytes) -> Output:
    digest = hashlib.blake2b(data, digest_size=12).hexdigest()
    return Output(path, digest, (), lambda _: data)


def _static_files(static_dir: Path) -> Iterator[Output]:
    for path in sorted(static_dir.rglob("*")):
        if path.is_file():
            name = path.relative_to(static_dir).as_posix()
            yield _as_given(name if name == FAVICON else f"static/{name}", path.read_bytes())
    yield _as_given(".nojekyll", b"")


def _front_pages(contents: Contents, pages: Pages) -> Iterator[Output]:
    views = {
        "index": index_view,
        "classes": classes_view,
        "about": about_view,
        "compare": compare_view,
        "404": lost_view,
    }
    for name, view in views.items():
        yield pages.page(f"{name}.html", f"{name}.html", partial(view, contents))
    yield pages.data("manifest.json", partial(data_files.manifest, contents))
    yield pages.data("search-index.js", partial(data_files.search_index, contents))


def _likes(contents: Contents, pages: Pages) -> Iterator[Output]:
    for entry in contents.likes:
        yield pages.page(like_page(entry.unit), "like.html", partial(like_view, contents, entry))
        yield _as_it_is(like_picture_path(entry.unit), entry)


def _layer_files(contents: Contents, pages: Pages, layer: Layer) -> Iterator[Output]:
    folder = layer_dir(layer.name)
    yield pages.page(f"{folder}/index.html", "layer.html", partial(layer_view, contents, layer))
    yield pages.data(f"{folder}/units.json", partial(data_files.units, contents, layer))
    yield from _dream(contents, layer)
    yield from _pictures(contents, layer)
    for kind in OF_OWN_SIZE:
        yield from _sheets(contents, layer, kind, OF_OWN_SIZE[kind], partial(place_of, kind, layer))
    yield from _examples(contents, layer)
    for position, index in enumerate(contents.paged[layer.name]):
        view = partial(unit_view, contents, layer, position)
        yield pages.page(unit_page(layer.unit(index)), "unit.html", view)


def _dream(contents: Contents, layer: Layer) -> Iterator[Output]:
    if entry := contents.entry(layer.whole, "dream"):
        yield _as_it_is(cover_path(layer.name), entry)


def _examples(contents: Contents, layer: Layer) -> Iterator[Output]:
    """Sheets that some page shows; they are made as they are."""
    for first in dict.fromkeys(map(first_on_sheet, contents.paged[layer.name])):
        entry = contents.entry(layer.unit(first), "examples")
        if entry and entry.width_px:
            yield _as_it_is(f"{layer_dir(layer.name)}/{EXAMPLES.place(first).sheet}", entry)


def _pictures(contents: Contents, layer: Layer) -> Iterator[Output]:
    """Each sheet of thumbnails right after the pictures it shows: they are read once."""
    thumbs = _sheets(contents, layer, "excitatory", THUMBS, THUMBS.place)
    sheets = {sheet.artifacts[-1]: sheet for sheet in thumbs}
    for index in contents.paged[layer.name]:
        unit = layer.unit(index)
        entry = contents.entry(unit, "excitatory")
        if entry:
            yield _as_it_is(picture_path(unit), entry)
            if entry.key in sheets:
                yield sheets[entry.key]


def _as_it_is(path: str, entry: Entry) -> Output:
    return Output(path, entry.sha256[:24], (entry.key,), lambda data: data[0])


def _sheets(
    contents: Contents, layer: Layer, kind: Kind, sheets: SheetKind, place: Callable[[int], Place]
) -> Iterator[Output]:
    found = [
        (place(index), entry)
        for index in contents.paged[layer.name]
        if (entry := contents.entry(layer.unit(index), kind))
    ]
    return _sheets_of(f"{layer_dir(layer.name)}/", sheets, found)


def _covers(contents: Contents) -> Iterator[Output]:
    picks: tuple[tuple[SheetKind, Kind, tuple[tuple[int, Unit], ...]], ...] = (
        (COVERS, "dream", dream_picks(contents)),
        (MOSAICS, "excitatory", mosaic_picks(contents)),
    )
    for sheets, kind, units in picks:
        found = [
            (sheets.place(position), entry)
            for position, unit in units
            if (entry := contents.entry(unit, kind))
        ]
        yield from _sheets_of("", sheets, found)


def _sheets_of(folder: str, kind: SheetKind, found: list[tuple[Place, Entry]]) -> Iterator[Output]:
    sheets: dict[str, dict[int, Entry]] = defaultdict(dict)
    for place, entry in found:
        sheets[place.sheet][place.cell] = entry
    for name, entries in sheets.items():
        shas = [(cell, entry.sha256) for cell, entry in entries.items()]
        yield Output(
            f"{folder}{name}",
            digest_of(sprites.LAYOUT_VERSION, kind, shas),
            tuple(entry.key for entry in entries.values()),
            partial(_compose, kind, tuple(entries)),
        )


def _compose(kind: SheetKind, cells: tuple[int, ...], data: Sequence[bytes]) -> bytes:
    return sprites.compose(kind, dict(zip(cells, data, strict=True)))
