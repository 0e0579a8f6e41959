"""The files of a site: what each depends on, and how to make it.

Planning reads no artifact and renders and writes nothing, so it takes a second or two.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from atlas import paths
from atlas.cache import Entry
from atlas.canonical import canonical_json
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.kind import Kind, SheetOf
from atlas.kinds.natural.whole import grid_script, units_shown
from atlas.kinds.photographs import KIND as PHOTOGRAPHS
from atlas.lazily import load
from atlas.sheets import SheetKind, SheetPlace
from atlas.site import data_files, sprites, tour
from atlas.site.compared import compared_units
from atlas.site.contents import Contents
from atlas.site.data_page import data_view
from atlas.site.find_index import find_index, found_by
from atlas.site.find_page import find_view, ready_questions
from atlas.site.glossary import glossary_script
from atlas.site.layer_pages import layer_view
from atlas.site.layer_pages import sections_of as sections_of_layers
from atlas.site.map_page import map_data, map_record, map_view, pyramid_of
from atlas.site.network_pages import (
    about_view,
    classes_view,
    compare_view,
    cover_picks,
    embed_view,
    index_view,
    lost_view,
    mosaic_picks,
)
from atlas.site.parts import page_settings
from atlas.site.schema import manifest_schema, spelled, units_schema
from atlas.site.search_index import search_index
from atlas.site.sections import SectionTable
from atlas.site.sortable import values_script
from atlas.site.sprites import COVERS, MOSAICS, THUMBS
from atlas.site.templates import Templates
from atlas.site.tour import STEPS
from atlas.site.unit_pages import sections_of, unit_view
from atlas.units import Layer, Unit

NO_PATHS = b"PATHS = {}"  # in a script; on every page, the paths would take much room


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
    """Every file of the site; files that use the same artifacts are close together.

    Args:
        contents: what to show.
        templates: the templates of the pages.
        static_dir: the folder of the files that are copied unchanged.
        program: a digest of the code, templates and static files.
    """
    contents.prepare()
    front = Pages(templates, digest_of(program, contents.digest))
    outputs = list(static_files(static_dir))
    outputs += _front_pages(contents, front)
    outputs += _covers(contents)
    outputs += _map(contents, front)
    outputs += _photographs(contents)
    outputs += _on_demand(contents, front)
    sections = sections_of(contents), sections_of_layers(contents)
    for layer in contents.facts.layers:
        pages = Pages(templates, digest_of(program, contents.digests[layer.name]))
        outputs += _layer_files(contents, pages, layer, *sections)
    outputs += _tour(contents, front)
    return outputs


def digest_of(*parts: object) -> str:
    """A short digest of plain data; the same in every process."""
    text = json.dumps(parts, default=vars, check_circular=False)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class Pages(NamedTuple):
    """Makes outputs that share a digest: those of one layer, or those of the whole atlas.

    A change of the digest means that some of them may change. All are then made and compared with
    the existing files, which is faster than a digest of what each one shows.
    """

    templates: Templates
    digest: str  # of everything that these outputs depend on

    def page(self, path: str, template: str, view: Callable[[], object]) -> Output:
        """A page, rendered from a template with the view that `view` returns."""
        return self.data(path, lambda: self.templates.render(template, view()))

    def data(self, path: str, make: Callable[[], bytes]) -> Output:
        """A data file with the bytes that `make` returns."""
        return Output(path, self.digest, (), lambda _: make())


def _from_bytes(path: str, data: bytes) -> Output:
    digest = hashlib.blake2b(data, digest_size=12).hexdigest()
    return Output(path, digest, (), lambda _: data)


def static_files(static_dir: Path) -> Iterator[Output]:
    """Style sheets, scripts and the favicon; one script is told how pages are called."""
    for path in sorted(static_dir.rglob("*")):
        if path.is_file():
            name, data = path.relative_to(static_dir).as_posix(), path.read_bytes()
            yield _from_bytes(paths.static_file(name), data.replace(NO_PATHS, _paths_of_pages()))
    yield _from_bytes(".nojekyll", b"")


def _paths_of_pages() -> bytes:
    return b"PATHS = " + canonical_json(page_settings()).encode()


def _front_pages(contents: Contents, pages: Pages) -> Iterator[Output]:
    views = {
        paths.CLASSES: classes_view,
        paths.ABOUT: about_view,
        paths.COMPARE: compare_view,
        paths.DATA: data_view,
        paths.EMBED: embed_view,
        paths.LOST: lost_view,
    }
    for name, view in views.items():  # a template has the name of its page
        yield pages.page(name, name, partial(view, contents))
    yield pages.data(paths.MANIFEST, partial(data_files.manifest, contents))
    yield pages.data(
        paths.MANIFEST_SCHEMA, lambda: spelled(manifest_schema(contents.kinds)).encode()
    )
    yield pages.data(paths.UNITS_SCHEMA, lambda: spelled(units_schema(contents.kinds)).encode())
    found = cache(partial(found_by, contents))  # for the search, the page and its index
    yield pages.data(
        paths.SEARCH_INDEX, lambda: search_index(contents, tuple(ready_questions(found())))
    )
    yield pages.page(paths.FIND, paths.FIND, lambda: find_view(contents, found()))
    yield pages.data(paths.FIND_INDEX, lambda: find_index(contents, found()))
    yield pages.data(paths.GLOSSARY, partial(glossary_script, pages.templates, contents))


def _map(contents: Contents, pages: Pages) -> Iterator[Output]:
    """The map of all units, its data and its tiles, which are cut out of one artifact."""
    entry = contents.map_entry
    if entry is None:
        return
    yield pages.page(paths.MAP, paths.MAP, partial(map_view, contents))
    yield pages.data(paths.MAP_DATA, partial(map_data, contents))
    record = map_record(contents)
    tiles = [paths.map_tile(*tile) for tile in pyramid_of(record).tiles()]
    yield from _pieces(entry, tiles, record.tile_bytes)


def _photographs(contents: Contents) -> Iterator[Output]:
    """The whole photographs, which are cut out of one artifact."""
    first = contents.facts.layers[0]
    entry, record = (
        contents.entry(first.whole, PHOTOGRAPHS),
        contents.layer_record(first, PHOTOGRAPHS),
    )
    if entry and record:
        files = [paths.photograph(number) for number in range(len(record.photographs))]
        yield from _pieces(entry, files, record.n_bytes)


def _pieces(entry: Entry, files: Sequence[str], sizes: Sequence[int]) -> Iterator[Output]:
    """Files that an artifact's data holds one after another."""
    begin = 0
    for path, n_bytes in zip(files, sizes, strict=True):
        part = slice(begin, begin + n_bytes)
        digest = digest_of(entry.sha256, begin, n_bytes)
        yield Output(path, digest, (entry.key,), partial(_part_of, part))
        begin += n_bytes


def _part_of(part: slice, data: Sequence[bytes]) -> bytes:
    return data[0][part]


def _tour(contents: Contents, pages: Pages) -> Iterator[Output]:
    """The pages that show the units of the tour, which are chosen by their pictures."""
    choices = tour.nominees(contents)
    words = tour.words_for(contents, choices)
    keys = tuple(entry.key for entry in tour.entries_of(contents, choices))

    def page(name: str, view: Callable[[Contents, Sequence[Unit]], object]) -> Output:
        def produce(pictures: Sequence[bytes]) -> bytes:
            units = tour.chosen(choices, pictures, words)
            return pages.templates.render(name, view(contents, units))

        return Output(name, pages.digest, keys, produce)

    yield page(paths.INDEX, index_view)
    if choices:
        yield page(paths.TOUR, tour.tour_view)
        yield _tour_sheet(contents, choices, words)


def _tour_sheet(
    contents: Contents, choices: Sequence[Sequence[Unit]], words: Mapping[Unit, str]
) -> Output:
    """The sheet of the pictures of the tour's units."""
    entries = tour.entries_of(contents, choices)
    units = [unit for each in choices for unit in each]

    def produce(pictures: Sequence[bytes]) -> bytes:
        by_unit = dict(zip(units, pictures, strict=True))
        chosen = tour.chosen(choices, pictures, words)
        return sprites.compose(STEPS, {nth: by_unit[unit] for nth, unit in enumerate(chosen)})

    return Output(
        STEPS.place(0).sheet,
        digest_of(
            sprites.LAYOUT_VERSION,
            STEPS,
            [entry.sha256 for entry in entries],
            [[(unit.id, words[unit]) for unit in each] for each in choices],
        ),
        tuple(entry.key for entry in entries),
        produce,
    )


def _on_demand(contents: Contents, pages: Pages) -> Iterator[Output]:
    """The pages that somebody asked for, and their pictures."""
    for page in contents.on_demand_pages:
        view = partial(load(page.kind.view), contents, page)
        yield pages.page(page.path, page.kind.template, view)
        for entry in page.entries:
            yield from_artifact(paths.on_demand_picture(page.kind.name, entry.unit), entry)


def _layer_files(
    contents: Contents,
    pages: Pages,
    layer: Layer,
    of_units: SectionTable,
    of_layers: SectionTable,
) -> Iterator[Output]:
    view = partial(layer_view, contents, of_layers, layer)
    yield pages.page(paths.layer_page(layer.name), "layer.html", view)
    yield pages.data(paths.layer_data(layer.name), partial(data_files.units, contents, layer))
    compared = partial(compared_units, contents, layer)
    yield pages.data(paths.layer_compared(layer.name), compared)
    yield pages.data(paths.layer_values(layer.name), partial(values_script, contents, layer))
    if units_shown(contents, layer):
        photographs = partial(grid_script, contents, layer)
        yield pages.data(paths.layer_photographs(layer.name), photographs)
    for kind in contents.kinds:
        if kind.layer_file and (entry := contents.entry(layer.whole, kind)):
            yield from_artifact(paths.layer_picture(layer.name, kind.layer_file), entry)
    yield from _pictures(contents, layer)
    for kind in contents.kinds:
        if kind.sheet:
            yield from _sheets_of_kind(contents, layer, kind, kind.sheet)
    for position, index in enumerate(contents.paged[layer.name]):
        unit_page = partial(unit_view, contents, of_units, layer, position)
        yield pages.page(paths.unit_page(layer.unit(index)), "unit.html", unit_page)


def _pictures(contents: Contents, layer: Layer) -> Iterator[Output]:
    """Each sheet of thumbnails right after its last picture, so that pictures are read once."""
    thumbs = _sheets(contents, layer, EXCITATORY, THUMBS)
    sheets = {sheet.artifacts[-1]: sheet for sheet in thumbs}
    for unit in contents.pictured(layer):
        if entry := contents.entry(unit, EXCITATORY):
            yield from_artifact(paths.unit_picture(unit), entry)
            if entry.key in sheets:
                yield sheets[entry.key]


def _sheets_of_kind(
    contents: Contents, layer: Layer, kind: Kind[Any], sheets: SheetKind
) -> Iterator[Output]:
    """A layer's sheets of one kind. Artifacts that are sheets are copied if a page uses them."""
    if not isinstance(kind.scope, SheetOf):
        yield from _sheets(contents, layer, kind, sheets)
        return
    for first in dict.fromkeys(map(kind.scope.first, contents.paged[layer.name])):
        entry = contents.entry(layer.unit(first), kind)
        if entry and entry.width_px:
            yield from_artifact(paths.layer_sheet(layer.name, sheets.place(first).sheet), entry)


def _sheets(
    contents: Contents, layer: Layer, kind: Kind[Any], sheets: SheetKind
) -> Iterator[Output]:
    for name, pictures in contents.on_sheets(layer, kind, sheets).items():
        yield sheet_of(paths.layer_sheet(layer.name, name), sheets, pictures)


def from_artifact(path: str, entry: Entry) -> Output:
    """A file with the bytes of an artifact."""
    return Output(path, entry.sha256[:24], (entry.key,), lambda data: data[0])


def _covers(contents: Contents) -> Iterator[Output]:
    """The sheets of the front page."""
    picks = [(MOSAICS, EXCITATORY, mosaic_picks(contents))]
    if contents.cover_kind:
        picks.insert(0, (COVERS, contents.cover_kind, cover_picks(contents)))
    for sheets, kind, units in picks:
        on_sheet: dict[str, list[tuple[SheetPlace, Entry]]] = defaultdict(list)
        for position, unit in units:
            if entry := contents.entry(unit, kind):
                place = sheets.place(position)
                on_sheet[place.sheet].append((place, entry))
        for name, pictures in on_sheet.items():
            yield sheet_of(name, sheets, pictures)


def sheet_of(path: str, kind: SheetKind, pictures: Sequence[tuple[SheetPlace, Entry]]) -> Output:
    """A sprite sheet of some artifacts, each in its place."""
    digests = [(place.cell, entry.sha256) for place, entry in pictures]
    return Output(
        path,
        digest_of(sprites.LAYOUT_VERSION, kind, digests),
        tuple(entry.key for _, entry in pictures),
        partial(_compose, kind, tuple(place.cell for place, _ in pictures)),
    )


def _compose(kind: SheetKind, cells: tuple[int, ...], data: Sequence[bytes]) -> bytes:
    return sprites.compose(kind, dict(zip(cells, data, strict=True)))
