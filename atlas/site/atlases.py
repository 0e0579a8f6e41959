"""The atlases in a site of several: each in a folder of its own, with a record of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas import paths
from atlas.canonical import canonical_json
from atlas.files import is_regular, open_regular
from atlas.kinds import KINDS
from atlas.site import guard, record
from atlas.site.budget import Part, parts_of, parts_together
from atlas.site.search_index import INDEX_VARIABLE
from atlas.text import displayable
from atlas.units import Unit

MAX_BYTES = 100_000_000  # of a data file
COVER_ALT = next(kind.layer_alt for kind in KINDS if kind.layer_file == paths.COVER)

Runs = Sequence[Sequence[int]]  # the first and last of indices that follow each other


@dataclass(frozen=True)
class AtlasCard:
    """What a landing page says of an atlas."""

    name: str  # of its folder
    network: str
    weights: str
    recipe: str
    n_units: int
    n_pages: int
    picture: str | None  # path in the atlas
    alt: str


@dataclass(frozen=True)
class FoundAtlas:
    """An atlas in a site of several."""

    card: AtlasCard
    architecture: str  # a digest of its layers but for the classifier
    classes: str  # a digest of the names of its classes
    classifier: str | None
    pages: Mapping[str, Runs]  # by layer, the units that have a page


def atlas_folders(site_dir: Path) -> tuple[Path, ...]:
    """The folders of atlases in a site of several, by name; none if it is a single atlas."""
    return tuple(_folders(site_dir)) if guard.is_of_several(site_dir) else ()


def find_atlases(site_dir: Path) -> tuple[FoundAtlas, ...]:
    """The atlases beneath a folder that can be read, by name; one that is begun cannot be yet."""
    return tuple(atlas for folder in _folders(site_dir) if (atlas := _find(folder)))


def parts_of_all(site_dir: Path) -> tuple[Part, ...]:
    """The parts of a site of several atlases, with those of each atlas."""
    records = map(record.load, (site_dir, *_folders(site_dir)))
    sizes = ({path: file.n_bytes for path, file in each.files.items()} for each in records)
    return parts_together(*map(parts_of, sizes))


def _folders(site_dir: Path) -> Iterator[Path]:
    """Folders in which a build has written an atlas, by name.

    Their records are not read: one of a large atlas takes a second.
    """
    for folder in sorted(site_dir.iterdir() if site_dir.is_dir() else ()):
        is_own = paths.is_atlas_name(folder.name) and not record.is_linked(site_dir, folder.name)
        if is_own and is_regular(folder / record.FILE_NAME):
            yield folder


def _find(folder: Path) -> FoundAtlas | None:
    try:
        manifest = json.loads(_read(folder / paths.MANIFEST))
        script = _read(folder / paths.SEARCH_INDEX).strip().removesuffix(b";")
        index = json.loads(script.removeprefix(INDEX_VARIABLE))
        return FoundAtlas(
            card=_card(folder, manifest, index),
            architecture=_digest([_shape(each) for each in manifest["layers"] if _has_shape(each)]),
            classes=_digest(index["labels"]),
            classifier=index["classifier"],
            pages={name: paged for name, _, paged, _ in index["layers"] if paged},
        )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ):  # being written, or by another version
        return None


def _read(path: Path) -> bytes:
    with open_regular(path, MAX_BYTES) as file:
        return file.read()


def _card(folder: Path, manifest: Any, index: Any) -> AtlasCard:
    network, counts, recipe = manifest["network"], manifest["counts"], manifest["recipe"]
    picture, alt = _picture(folder, index)
    return AtlasCard(
        name=folder.name,
        network=displayable(network["name"]),
        weights=displayable(network["weights"]),
        recipe=displayable(f"{recipe['name']}, {recipe['preset']}"),
        n_units=int(counts["units"]),
        n_pages=int(counts["pages"]),
        picture=picture,
        alt=alt,
    )


def _picture(folder: Path, index: Any) -> tuple[str | None, str]:
    """A picture for an atlas: of its deepest layer that has one, of all units or of the first."""
    for layer, _, _, pictured in reversed(index["layers"]):
        if is_regular(folder / paths.layer_cover(layer)):
            return paths.layer_cover(layer), COVER_ALT.format(layer=layer)
        if pictured:
            unit = Unit(layer, pictured[0][0])
            return paths.unit_picture(unit), f"Synthetic picture that excites a unit of {layer}"
    return None, ""


def _has_shape(layer: Any) -> bool:
    return bool(layer["kind"] != "classifier")


def _shape(layer: Any) -> list[Any]:
    """What makes a layer the same in two networks, whatever its weights."""
    return [layer[fact] for fact in ("name", "kind", "n_units", "in_channels", "kernel", "groups")]


def _digest(value: Any) -> str:
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=8).hexdigest()
