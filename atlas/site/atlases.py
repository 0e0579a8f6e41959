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
from atlas.files import open_regular
from atlas.kinds import KINDS
from atlas.site import record
from atlas.site.data_files import INDEX_VARIABLE
from atlas.site.record import Record
from atlas.text import displayable

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
    if paths.ATLASES not in record.load(site_dir).files:
        return ()
    return tuple(folder for folder, _ in _recorded(site_dir))


def find_atlases(site_dir: Path) -> tuple[FoundAtlas, ...]:
    """The atlases beneath a folder that can be read, by name; one that is begun cannot be yet."""
    found = (_find(folder, made) for folder, made in _recorded(site_dir))
    return tuple(atlas for atlas in found if atlas)


def _recorded(site_dir: Path) -> Iterator[tuple[Path, Record]]:
    """Folders in which a build has recorded an atlas."""
    for folder in sorted(site_dir.iterdir() if site_dir.is_dir() else ()):
        is_own = paths.is_atlas_name(folder.name) and folder.is_dir()
        if not is_own or record.is_linked(site_dir, folder.name):
            continue
        made = record.load(folder)
        if {paths.MANIFEST, paths.SEARCH_INDEX} <= made.files.keys():
            yield folder, made


def _find(folder: Path, made: Record) -> FoundAtlas | None:
    try:
        manifest = json.loads(_read(folder / paths.MANIFEST))
        script = _read(folder / paths.SEARCH_INDEX).strip().removesuffix(b";")
        index = json.loads(script.removeprefix(INDEX_VARIABLE))
        return FoundAtlas(
            card=_card(folder.name, manifest, made),
            architecture=_digest([_shape(each) for each in manifest["layers"] if _has_shape(each)]),
            classes=_digest(index["labels"]),
            classifier=index["classifier"],
            pages={name: runs for name, _, runs, *_ in index["layers"] if runs},
        )
    except (OSError, ValueError, KeyError, TypeError):  # being written, or by another version
        return None


def _read(path: Path) -> bytes:
    with open_regular(path, MAX_BYTES) as file:
        return file.read()


def _card(name: str, manifest: Any, made: Record) -> AtlasCard:
    network, counts, recipe = manifest["network"], manifest["counts"], manifest["recipe"]
    layers = [layer["name"] for layer in manifest["layers"]]
    picture, alt = _picture(layers, made)
    return AtlasCard(
        name=name,
        network=displayable(network["name"]),
        weights=displayable(network["weights"]),
        recipe=displayable(f"{recipe['name']}, {recipe['preset']}"),
        n_units=int(counts["units"]),
        n_pages=int(counts["pages"]),
        picture=picture,
        alt=alt,
    )


def _picture(layers: Sequence[str], made: Record) -> tuple[str | None, str]:
    """A picture for an atlas: of its deepest layer that has one, of all units or of the first."""
    for layer in reversed(layers):
        if paths.layer_cover(layer) in made.files:
            return paths.layer_cover(layer), COVER_ALT.format(layer=layer)
    first = {
        path.partition("/")[0]: path
        for path in sorted(made.files, reverse=True)
        if paths.is_unit_picture(path)
    }
    for layer in reversed(layers):
        if layer in first:
            return first[layer], f"Synthetic picture that excites a unit of {layer}"
    return None, ""


def _has_shape(layer: Any) -> bool:
    return bool(layer["kind"] != "classifier")


def _shape(layer: Any) -> list[Any]:
    """What makes a layer the same in two networks, whatever its weights."""
    return [layer[fact] for fact in ("name", "kind", "n_units", "in_channels", "kernel", "groups")]


def _digest(value: Any) -> str:
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=8).hexdigest()
