"""The site of a comparison: its files, and what each is made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from atlas import paths
from atlas.canonical import canonical_json
from atlas.comparing.compared import MOST, PAIRS, SIDES, Compared, sheet_places
from atlas.comparing.comparison import Ranking
from atlas.comparing.front_page import index_view
from atlas.comparing.layer_page import layer_view
from atlas.comparing.ranking import UnitChange
from atlas.comparing.unit_page import unit_view
from atlas.errors import SiteError
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.filter import KIND as FILTER
from atlas.pipeline import Atlas
from atlas.progress import counted
from atlas.sheets import SheetKind
from atlas.site import guard, wording
from atlas.site.outputs import Output, Pages, digest_of, from_artifact, sheet_of, static_files
from atlas.site.parts import site_of
from atlas.site.resources import STATIC_DIR, TEMPLATES_DIR
from atlas.site.templates import Templates
from atlas.site.writer import SiteReport, prepare_folder, program_digest, write_outputs

MARK = b'name="atlas" content="comparison"'  # on the front page of a comparison
FILES = {  # of a pair's pictures: the kind, and how the file is called
    EXCITATORY.name: paths.compared_picture,
    FILTER.name: paths.compared_weights,
}


def prepare(out_dir: Path) -> None:
    """Make the folder, so that one that cannot be used is found before any work.

    Raises:
        SiteError: it cannot be written, holds an atlas, or files of someone else.
    """
    index = out_dir / paths.INDEX
    if guard.is_made_by_us(index) and MARK not in index.read_bytes()[: guard.HEAD_BYTES]:
        raise SiteError(f"{out_dir} holds an atlas; give another folder with --out")
    prepare_folder(out_dir)


def write(ranking: Ranking, a: Atlas, b: Atlas, out_dir: Path) -> SiteReport:
    """Bring the site of a comparison up to date.

    Raises:
        SiteError: the folder cannot be written, or a picture cannot be read.
        DamagedError: an artifact is damaged; the next run makes it again.
    """
    compared = Compared(ranking, a.contents(), b.contents())
    for change in ranking.layers:
        guard.refuse_unsafe([paths.layer_page(change.layer.name)])
    a_contents = compared.a
    site, kinds = site_of(a_contents), a_contents.kinds
    templates = Templates(TEMPLATES_DIR, STATIC_DIR, site, kinds, a_contents.family_glossary)
    program = program_digest(templates, STATIC_DIR, kinds)
    inputs = hashlib.blake2b(f"{program}{_shown(compared)}".encode()).hexdigest()
    plan = partial(plan_outputs, compared, Pages(templates, inputs))
    with counted(a.progress, "site", "files") as show:
        return write_outputs(out_dir, inputs, plan, a.cache.read, show)


def plan_outputs(compared: Compared, pages: Pages) -> list[Output]:
    """Every file of the site; files that use the same artifacts are close together."""
    outputs = list(static_files(STATIC_DIR))
    outputs.append(pages.page(paths.INDEX, "comparison/index.html", partial(index_view, compared)))
    outputs.append(pages.data(paths.SEARCH_INDEX, partial(search_index, compared)))
    outputs += _sheets(compared, compared.most, MOST, "")
    for change in compared.ranking.layers:
        name = change.layer.name
        view = partial(layer_view, compared, name)
        outputs.append(pages.page(paths.layer_page(name), "comparison/layer.html", view))
        outputs += _sheets(compared, compared.picked[name], PAIRS, f"{name}/")
        outputs += _pictures(compared, compared.picked[name])
        for unit in compared.picked[name]:
            path = paths.unit_page(unit.unit)
            view_of_unit = partial(unit_view, compared, unit)
            outputs.append(pages.page(path, "comparison/unit.html", view_of_unit))
    return outputs


def search_index(compared: Compared) -> bytes:
    """The search index as a script: layers, and units that have a page."""
    facts = compared.a.facts
    classifier = facts.classifier
    is_shown = classifier is not None and classifier.name in compared.by_layer
    layers = [
        [
            name,
            compared.by_layer[name].layer.n_units,
            wording.ranges(sorted(unit.unit.index for unit in picked)),
        ]
        for name, picked in compared.picked.items()
    ]
    index = {
        "layers": layers,
        "classifier": classifier.name if classifier and is_shown else None,
        "labels": facts.labels if is_shown else (),
    }
    return f"self.atlasIndex = {canonical_json(index)};\n".encode()


def _pictures(compared: Compared, units: Sequence[UnitChange]) -> Iterator[Output]:
    """The pictures of pairs; several units of A may have one partner in B."""
    outputs: dict[str, Output] = {}
    for unit in units:
        for kind, path_of in FILES.items():
            indices = unit.unit.index, unit.partner
            entries = compared.entries(unit, kind)
            for side, index, entry in zip(SIDES, indices, entries, strict=True):
                if entry:
                    path = path_of(unit.unit.layer, side, index)
                    outputs[path] = from_artifact(path, entry)
    yield from outputs.values()


def _sheets(
    compared: Compared,
    units: Sequence[UnitChange],
    sheets: Mapping[str, SheetKind],
    folder: str,
) -> Iterator[Output]:
    """The sheets of small pictures of pairs, those of A and those of B."""
    for nth, side in enumerate(SIDES):
        kind = sheets[side]
        placed = [
            (place, entry)
            for unit, place in sheet_places(units, kind)
            if (entry := compared.entries(unit, EXCITATORY.name)[nth])
        ]
        for name in dict.fromkeys(place.sheet for place, _ in placed):
            on_sheet = [each for each in placed if each[0].sheet == name]
            yield sheet_of(f"{folder}{name}", kind, on_sheet)


def _shown(compared: Compared) -> str:
    """A digest of everything that the pages show."""
    pictures = [
        entry.sha256
        for picked in compared.picked.values()
        for unit in picked
        for kind in FILES
        for entry in compared.entries(unit, kind)
        if entry
    ]
    facts = [contents.facts.to_json() for contents in (compared.a, compared.b)]
    return digest_of(repr(compared.ranking), facts, pictures)
