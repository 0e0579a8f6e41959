"""What the user asks for: network, recipe, preset, kinds and part of the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atlas.recipes import PresetName, RecipeName


@dataclass(frozen=True)
class Selection:
    """Which part of the network to render; empty fields choose everything."""

    layers: tuple[str, ...] = ()  # names or globs
    units: tuple[range, ...] = ()  # of every chosen layer
    classes: tuple[str, ...] = ()  # labels or indices, in the classifier


@dataclass(frozen=True)
class AtlasSpec:
    """An atlas as the user asks for it."""

    family: str = ""  # name of the network's family; empty: the first family
    weights: str = ""  # a published name or a file; empty: the family's default
    labels: Path | None = None
    recipe: RecipeName = "fourier"
    preset: PresetName = "standard"
    seed: int = 0
    selection: Selection = Selection()
    kinds: tuple[str, ...] = ()  # names of the kinds to make; empty: all of them
    images_sha256: str = ""  # digest of the photographs' names and bytes; empty: none
