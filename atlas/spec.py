"""What was asked: recipes, presets, and which units. Frozen data, validated, digestible.

A recipe is complete: together with the weights and the unit it decides every pixel.
Batch size, device and paths are not in it, so they never make a picture stale.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from atlas.errors import SpecError
from atlas.units import Layer, NetworkFacts, PictureKind, Unit, canonical_json

RecipeName = Literal["fourier", "progressive"]
PresetName = Literal["preview", "standard", "fine"]
DEFAULT_WEIGHTS = "IMAGENET1K_V1"
PICTURE_KINDS: tuple[PictureKind, ...] = ("excitatory", "filter")  # that every unit has


@dataclass(frozen=True)
class Stage:
    """Part of a coarse-to-fine ascent: so many steps on a square canvas."""

    size_px: int
    steps: int


@dataclass(frozen=True)
class Fourier:
    """Ascent on the Fourier coefficients of a picture in decorrelated colours.

    Source: Olah et al. 2017, https://distill.pub/2017/feature-visualization/
    """

    name: ClassVar[str] = "fourier"
    version: ClassVar[int] = 1

    stages: tuple[Stage, ...]
    margin_px: int  # cut from each side of the canvas, where receptive fields meet the padding
    objective: Literal["mean", "softplus", "power"]
    decay: float = 1.0  # coefficients are scaled by 1 / frequency ** decay
    lr: float = 0.1
    init_std: float = 0.3
    rotation_deg: float = 8.0  # jitter per step is uniform in +- these
    zoom: float = 0.08
    shift: float = 0.08  # as a share of the canvas
    seed: int = 0

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.stages[-1].size_px

    @property
    def picture_px(self) -> int:
        """Side of the finished picture."""
        return self.canvas_px - 2 * self.margin_px


@dataclass(frozen=True)
class Progressive:
    """Ascent on pixels at growing sizes, blurred between sizes: the tutorial's recipe.

    Source: Graetz 2019, "How to visualize convolutional features in 40 lines of code"
    """

    name: ClassVar[str] = "progressive"
    version: ClassVar[int] = 1

    n_scales: int
    blur_px: int
    start_px: int = 56
    growth: float = 1.11
    steps: int = 20
    lr: float = 0.01
    weight_decay: float = 1e-6
    seed: int = 0

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """The canvas at every scale, then the size of the finished picture."""
        sizes = [self.start_px]
        for _ in range(self.n_scales):
            sizes.append(int(sizes[-1] * self.growth))
        return tuple(sizes)

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.sizes_px[-2]

    @property
    def picture_px(self) -> int:
        """Side of the finished picture."""
        return self.sizes_px[-1]


@dataclass(frozen=True)
class FilterImage:
    """A picture of the weights themselves."""

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1

    size_px: int = 224  # of the longer side, at least; weights are enlarged by whole factors
    n_slices: int = 25  # strongest input slices in a montage


Recipe = Fourier | Progressive
PictureSpec = Fourier | Progressive | FilterImage


@dataclass(frozen=True)
class Selection:
    """Which part of the network to render; empty fields choose everything."""

    layers: tuple[str, ...] = ()  # names or globs
    units: tuple[range, ...] = ()  # of every chosen conv layer, and of the classifier if named
    classes: tuple[str, ...] = ()  # labels or indices, in the classifier


@dataclass(frozen=True)
class AtlasSpec:
    """One atlas, as asked for on the command line."""

    weights: str = DEFAULT_WEIGHTS  # a torchvision weights name or a file
    demo: bool = False
    labels: Path | None = None
    recipe: RecipeName = "fourier"
    preset: PresetName = "standard"
    seed: int = 0
    selection: Selection = Selection()

    def picture_spec(self, kind: PictureKind, layer: Layer, facts: NetworkFacts) -> PictureSpec:
        """The complete recipe of one kind of picture for the units of one layer."""
        if kind == "filter":
            return FilterImage()
        if self.recipe == "progressive":
            return _progressive(self.preset, layer, self.seed)
        return _fourier(self.preset, layer, facts, self.seed)


def artifact_key(weights_sha256: str, unit: Unit, kind: PictureKind, spec: PictureSpec) -> str:
    """The content address of one picture: 64 hex digits.

    Equal for equal weights, unit, kind and recipe; different as soon as one of them is.
    """
    identity = {
        "weights": weights_sha256,
        "unit": unit.id,
        "kind": kind,
        "recipe": describe(spec),
    }
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def describe(spec: PictureSpec) -> dict[str, Any]:
    """A recipe as plain data, its name and version included."""
    return {"name": spec.name, "version": spec.version, **dataclasses.asdict(spec)}


def parse_ranges(text: str) -> tuple[range, ...]:
    """`0-15,40` as ranges, both ends included.

    Raises:
        SpecError: not a list of numbers and ranges.
    """
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise SpecError(f"cannot read units {text!r}; write them like 0-15,40")
        start, stop = int(first), int(last if dash else first)
        if stop < start:
            raise SpecError(f"units {part.strip()!r} run backwards; write {stop}-{start}")
        ranges.append(range(start, stop + 1))
    return tuple(ranges)


def select_units(selection: Selection, facts: NetworkFacts) -> tuple[Unit, ...]:
    """The units that a selection names, in forward order.

    Classes choose inside the classifier; layers and units choose everywhere else, and in the
    classifier too when no class is named.

    Raises:
        SpecError: an unknown layer or class (the closest are suggested), a unit out of range.
    """
    layers = _select_layers(selection, facts)
    chosen: list[Unit] = []
    for layer in facts.layers:
        if layer.kind == "classifier" and selection.classes:
            chosen += [layer.unit(index) for index in _select_classes(selection.classes, facts)]
        elif layer in layers:
            chosen += [layer.unit(index) for index in _select_indices(selection.units, layer)]
    return tuple(chosen)


def _select_layers(selection: Selection, facts: NetworkFacts) -> tuple[Layer, ...]:
    if not selection.layers:
        only_classes = bool(selection.classes) and not selection.units
        return () if only_classes else facts.layers
    names = [layer.name for layer in facts.layers]
    wanted: set[str] = set()
    for pattern in selection.layers:
        matches = fnmatch.filter(names, pattern)
        if not matches:
            raise SpecError(
                f"no layer {pattern!r} in {facts.name}; closest: {_near(pattern, names)}"
            )
        wanted.update(matches)
    return tuple(layer for layer in facts.layers if layer.name in wanted)


def _select_indices(ranges: Sequence[range], layer: Layer) -> Iterable[int]:
    if not ranges:
        return range(layer.n_units)
    last = max(part[-1] for part in ranges)
    if last >= layer.n_units:
        raise SpecError(
            f"unit {last} is out of range for {layer.name}, which has "
            f"{layer.n_units} units: 0-{layer.n_units - 1}"
        )
    return sorted({index for part in ranges for index in part})


def _select_classes(classes: Sequence[str], facts: NetworkFacts) -> list[int]:
    chosen: set[int] = set()
    for text in classes:
        matches = [index for index, label in enumerate(facts.labels) if label == text]
        matches = matches or [
            index for index, label in enumerate(facts.labels) if label.lower() == text.lower()
        ]
        if not matches and text.isdecimal() and int(text) < len(facts.labels):
            matches = [int(text)]
        if not matches:
            near = _near(text, facts.labels)
            raise SpecError(
                f"no class {text!r} among the {len(facts.labels)} labels; closest: {near}"
            )
        chosen.update(matches)
    return sorted(chosen)


def _near(name: str, names: Sequence[str]) -> str:
    by_folded = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.0)
    return ", ".join(by_folded[folded] for folded in near)


def _progressive(preset: PresetName, layer: Layer, seed: int) -> Progressive:
    """The tutorial's settings: 20 scales where the image itself is read, 25 for a class."""
    reads_image = layer.index == 0
    n_scales = 25 if layer.kind == "classifier" else 20 if reads_image else 15
    n_scales = {"preview": 3, "standard": n_scales, "fine": max(n_scales, 22)}[preset]
    return Progressive(n_scales=n_scales, blur_px=7 if layer.kind == "classifier" else 5, seed=seed)


def _fourier(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """One rule for every depth: canvas and margin follow from the receptive field.

    Where receptive fields are small, a small canvas holds enough of them, and those that meet the
    padding are left out and cut off. Where they cover the image, the whole image counts.
    """
    enlarged = {"preview": 2 / 7, "standard": 1.0, "fine": 16 / 7}[preset]
    full_px = round(enlarged * facts.input_size_px)
    field_px = layer.receptive_field_px
    canvas_px = min(full_px, _rounded_up(max(1.0, enlarged) * (4 * field_px + 48)))
    margin_px = max(0, min(field_px // 2, (full_px - field_px) // 4))
    decay = min(1.0, 0.5 + field_px / 160)  # small fields see only high frequencies
    if preset == "preview":
        return Fourier((Stage(canvas_px, 12),), margin_px, "power", decay, lr=0.25, seed=seed)
    coarse_px = _rounded_up(canvas_px * 4 / 7)
    is_class = layer.kind == "classifier"
    stages = [Stage(coarse_px, 96 if is_class else 48), Stage(canvas_px, 64 if is_class else 32)]
    if preset == "fine":
        stages.insert(0, Stage(_rounded_up(coarse_px * 4 / 7), 96))
    return Fourier(tuple(stages), margin_px, "power", decay, seed=seed)


def _rounded_up(size_px: float, step_px: int = 16) -> int:
    return math.ceil(size_px / step_px) * step_px
