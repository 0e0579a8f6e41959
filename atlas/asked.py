"""What the user asks for: network, recipe, preset, kinds and part of the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from atlas.errors import SpecError
from atlas.recipes import PresetName, RecipeName

MAX_INPUT_SIZE_PX = 4096


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
class Preparation:
    """How images are prepared for the network, where its weights do not say it.

    Raises:
        SpecError: numbers that no network can be trained with.
    """

    input_size_px: int | None = None  # side of the square that the network is given
    mean: tuple[float, ...] = ()  # per image channel, subtracted from values in 0..1
    std: tuple[float, ...] = ()  # per image channel, divided by

    def __post_init__(self) -> None:
        if self.input_size_px is not None and not 1 <= self.input_size_px <= MAX_INPUT_SIZE_PX:
            raise SpecError(
                f"an input size of {self.input_size_px} px; give 1 to {MAX_INPUT_SIZE_PX:,}"
            )
        if not all(0 <= value <= 1 for value in self.mean):
            raise SpecError(f"a mean of {_spelled(self.mean)}; give values in 0..1, as of colours")
        if not all(0 < value < math.inf for value in self.std):
            raise SpecError(f"a standard deviation of {_spelled(self.std)}; give values above 0")

    @property
    def given(self) -> tuple[str, ...]:
        """The words for what is given here."""
        words = (
            (self.input_size_px, "input size"),
            (self.mean, "mean"),
            (self.std, "standard deviation"),
        )
        return tuple(word for value, word in words if value)


def _spelled(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


@dataclass(frozen=True)
class AtlasSpec:
    """An atlas as the user asks for it.

    Raises:
        SpecError: an unknown recipe or preset, or a text where a tuple of texts is wanted.
    """

    family: str = ""  # name of the network, as after --model; empty: the default
    weights: str = ""  # a published name or a file; empty: those published first
    state_key: str = ""  # which of several networks in the file; empty: the one that fits best
    labels: Path | None = None
    recipe: RecipeName = "fourier"
    preset: PresetName = "standard"
    seed: int = 0
    selection: Selection = Selection()
    kinds: tuple[str, ...] = ()  # names of the kinds to make; empty: all of them
    images_sha256: str = ""  # digest of the photographs' names and bytes; empty: none
    n_images: int = 0  # photographs, to say how long they take
    preparation: Preparation = Preparation()  # empty fields: as the weights say

    def __post_init__(self) -> None:
        _check_known("recipe", self.recipe, get_args(RecipeName))
        _check_known("preset", self.preset, get_args(PresetName))
        _check_not_text("kinds", self.kinds)
