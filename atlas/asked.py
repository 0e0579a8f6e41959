"""What the user asks for: network, recipe, preset, kinds and part of the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from atlas.errors import SpecError
from atlas.recipes import PresetName, RecipeName


def _check_known(noun: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise SpecError(f"no {noun} {name!r}; there are {', '.join(known)}")


def _check_not_text(field: str, value: object) -> None:
    if isinstance(value, str):
        raise SpecError(f"{field} is the text {value!r}; give a tuple of texts")


@dataclass(frozen=True)
class Selection:
    """Which part of the network to render; empty fields choose everything.

    Raises:
        SpecError: a text where a tuple of texts is wanted.
    """

    layers: tuple[str, ...] = ()  # names or globs
    units: tuple[range, ...] = ()  # of every chosen layer
    classes: tuple[str, ...] = ()  # labels or indices, in the classifier

    def __post_init__(self) -> None:
        _check_not_text("layers", self.layers)
        _check_not_text("classes", self.classes)


@dataclass(frozen=True)
class AtlasSpec:
    """An atlas as the user asks for it.

    Raises:
        SpecError: an unknown recipe or preset, or a text where a tuple of texts is wanted.
    """

    family: str = ""  # name of the network's family; empty: the first family
    weights: str = ""  # a published name or a file; empty: the family's default
    state_key: str = ""  # which of several networks in the file; empty: the one that fits best
    labels: Path | None = None
    recipe: RecipeName = "fourier"
    preset: PresetName = "standard"
    seed: int = 0
    selection: Selection = Selection()
    kinds: tuple[str, ...] = ()  # names of the kinds to make; empty: all of them
    images_sha256: str = ""  # digest of the photographs' names and bytes; empty: none

    def __post_init__(self) -> None:
        _check_known("recipe", self.recipe, get_args(RecipeName))
        _check_known("preset", self.preset, get_args(PresetName))
        _check_not_text("kinds", self.kinds)
