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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from atlas.errors import SpecError
from atlas.units import Kind, Layer, NetworkFacts, Unit, canonical_json

if TYPE_CHECKING:  # a command that asks for no photographs loads no image library
    from atlas.photographs import Photographs

RecipeName = Literal["fourier", "progressive"]
PresetName = Literal["preview", "standard", "fine"]
Aim = Literal["excite", "inhibit"]
DEFAULT_WEIGHTS = "IMAGENET1K_V1"

# What can be made, in the order of making: what costs nothing and what people look for come first.
KINDS: dict[Kind, str] = {
    "filter": "each unit's weights",
    "circuit": "which units feed a unit, and which it feeds",
    "noise": "what every unit answers to plain noise",
    "tuning": "what every unit answers to gratings, colours and rings",
    "natural": "what every unit answers to the photographs of --images",
    "examples": "what in those photographs drives each unit, from most to least",
    "dream": "one picture per layer, for all of its units at once",
    "excitatory": "what drives each unit up",
    "field": "what drives one position of a unit up, where receptive fields are small",
    "twin": "a few units of each layer once more, from another seed",
    "inhibitory": "what drives each unit down",
    "similar": "which units are like which, among those made so far",
}
PER_LAYER: frozenset[Kind] = frozenset(
    {"circuit", "noise", "tuning", "natural", "dream", "similar"}
)
N_TWINS = 4  # units per layer that get a twin
FINE_PX = 512  # side of the pictures of the fine preset
SMALL_PX = 48  # pictures below it are kept bit for bit
MAX_DECAY = 1.4  # of frequencies, where receptive fields are large
SELECTIVE = 0.1  # a unit below it has no preferred angle to speak of
TINY_PX = 24  # those below it are, where they share a sheet
STRIPS_PER_ROW = 3  # of a sheet of examples, and as many rows: nine units share one artifact


@dataclass(frozen=True)
class Stage:
    """Part of a coarse-to-fine ascent: so many steps on a square canvas."""

    size_px: int
    steps: int
    window_px: int = 0  # side of what one step sees of the canvas; 0 is all of it

    @property
    def seen_px(self) -> int:
        """Side of the image that the network is shown at a step."""
        return self.window_px or self.size_px


@dataclass(frozen=True)
class Fourier:
    """Ascent on the Fourier coefficients of a picture in decorrelated colours.

    Source: Olah et al. 2017, https://distill.pub/2017/feature-visualization/
    """

    name: ClassVar[str] = "fourier"
    version: ClassVar[int] = 4

    stages: tuple[Stage, ...]
    margin_px: int  # cut from each side of the canvas, where receptive fields meet the padding
    objective: Literal["mean", "power", "centre", "layer"]
    aim: Aim = "excite"
    decay: float = 1.0  # coefficients are scaled by 1 / frequency ** decay
    lr: float = 0.1
    init_std: float = 0.05
    rotation_deg: float = 8.0  # jitter per step is uniform in +- these
    zoom: float = 0.08
    shift: float = 0.08  # as a share of the canvas
    roughness: float = 0.0  # what each unit of it costs the score: total variation, squared
    seed: int = 0

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.stages[-1].size_px

    @property
    def picture_px(self) -> int:
        """Side of the finished picture; of a `centre` one it is the receptive field's."""
        return self.canvas_px - 2 * self.margin_px

    @property
    def n_steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)


@dataclass(frozen=True)
class Progressive:
    """Ascent on pixels at growing sizes, blurred between sizes: the tutorial's recipe.

    Source: Graetz 2019, "How to visualize convolutional features in 40 lines of code"
    """

    name: ClassVar[str] = "progressive"
    version: ClassVar[int] = 1

    n_scales: int
    blur_px: int
    aim: Aim = "excite"
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
class Twin:
    """A unit's picture once more from another seed, to see what two of them have in common."""

    name: ClassVar[str] = "twin"
    version: ClassVar[int] = 1

    first: Recipe
    second: Recipe

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.first.canvas_px


@dataclass(frozen=True)
class Noise:
    """Plain noise: every pixel's red, green and blue drawn evenly from 0..1."""

    name: ClassVar[str] = "noise"
    version: ClassVar[int] = 1

    size_px: int  # of the pictures that it is compared with
    n_images: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Natural:
    """Photographs, prepared as for recognition: short side to 8/7 of the input, centre cut out."""

    name: ClassVar[str] = "natural"
    version: ClassVar[int] = 2

    folder_sha256: str  # of its images' names and sizes
    size_px: int
    n_top: int = 9  # photographs remembered for each unit
    n_sampled: int = 512  # photographs, the same for all units, whose answers are all remembered


@dataclass(frozen=True)
class StripLayout:
    """Where examples lie on a strip: three rows of four, in a frame whose shape is always 17 : 13.

    That is about the shape of three by four examples with what goes between and around them.
    """

    side_px: int  # of an example

    rows: ClassVar[int] = 3
    columns: ClassVar[int] = 4
    top_columns: ClassVar[int] = 3  # on the left: the strongest

    @property
    def gap_px(self) -> int:
        """Between two examples."""
        return max(1, self.side_px // 32)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the strip."""
        width, height = self._content_px
        scale = max(math.ceil(width / 17), math.ceil(height / 13))
        return 17 * scale, 13 * scale

    def corner_px(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of an example."""
        pitch = self.side_px + self.gap_px
        left, top = (
            (whole - part) // 2 for whole, part in zip(self.size_px, self._content_px, strict=True)
        )
        apart_px = self._apart_px if column >= self.top_columns else 0
        return left + column * pitch + apart_px, top + row * pitch

    @property
    def _content_px(self) -> tuple[int, int]:
        pitch = self.side_px + self.gap_px
        width, height = self.columns * pitch - self.gap_px, self.rows * pitch - self.gap_px
        return width + self._apart_px, height

    @property
    def _apart_px(self) -> int:
        """What the strongest are further away from the others."""
        return 2 * self.gap_px


@dataclass(frozen=True)
class Examples:
    """What each unit sees in the photographs that drive it most, and in weaker ones."""

    name: ClassVar[str] = "examples"
    version: ClassVar[int] = 1

    natural: Natural
    side_px: int = 56  # of one example, unless its pixels are so few that all are kept

    def layout(self, layer: Layer) -> StripLayout:
        """How the examples of a layer's units are arranged."""
        field_px = min(layer.receptive_field_px, self.natural.size_px)
        return StripLayout(field_px if field_px < TINY_PX else self.side_px)


@dataclass(frozen=True)
class Circuit:
    """Strongest inputs and outputs of a unit, from the weights and their BatchNorms alone."""

    name: ClassVar[str] = "circuit"
    version: ClassVar[int] = 1

    n_partners: int = 5  # of each sign, on each side


@dataclass(frozen=True)
class Tuning:
    """Gratings, hues and rings, drawn on the network's mean colour in its input size."""

    name: ClassVar[str] = "tuning"
    version: ClassVar[int] = 1

    size_px: int
    periods_px: tuple[int, ...]  # of the gratings
    radii_px: tuple[int, ...]  # of the rings
    n_orientations: int = 12
    n_phases: int = 4
    n_hues: int = 12


@dataclass(frozen=True)
class Similar:
    """Nearest neighbours, by answers to the same photographs or by embeddings of pictures."""

    name: ClassVar[str] = "similar"
    version: ClassVar[int] = 1

    basis: Literal["photographs", "pictures"]
    sources_sha256: str  # of the keys of what is compared
    n_neighbours: int = 3  # within the layer, and as many in other layers


@dataclass(frozen=True)
class FilterImage:
    """A picture of the weights themselves."""

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 2

    size_px: int = 128  # of the longer side, about; weights are enlarged by whole factors
    n_slices: int = 25  # strongest input slices in a montage


@dataclass(frozen=True)
class Like:
    """One image, shown to the whole network."""

    name: ClassVar[str] = "like"
    version: ClassVar[int] = 1

    pixels_sha256: str  # of the image as the network gets it
    n_units: int = 12  # of each layer


Recipe = Fourier | Progressive
ArtifactSpec = (
    Recipe | Twin | FilterImage | Circuit | Noise | Tuning | Natural | Examples | Similar | Like
)


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
    kinds: tuple[Kind, ...] = tuple(KINDS)
    images: Photographs | None = None

    def kinds_of(self, layer: Layer, facts: NetworkFacts) -> tuple[Kind, ...]:
        """The kinds asked for that a layer can have, in the order of making."""
        impossible: set[Kind] = set()
        if not _has_small_fields(layer, facts):
            impossible.add("field")
        if self.images is None:
            impossible |= {"natural", "examples"}
        impossible.add("similar")  # of what was made: planned when that is known
        return tuple(kind for kind in KINDS if kind in self.kinds and kind not in impossible)

    def artifact_spec(self, kind: Kind, layer: Layer, facts: NetworkFacts) -> ArtifactSpec:
        """Everything that decides one kind of artifact of a layer's units, or of the layer."""
        recipe, seed = self._recipe(layer, facts), self.seed
        makers: dict[Kind, Callable[[], ArtifactSpec]] = {
            "filter": FilterImage,
            "circuit": Circuit,
            "noise": lambda: Noise(recipe.picture_px),
            "tuning": lambda: _tuning(facts),
            "natural": lambda: self._natural(facts),
            "examples": lambda: Examples(self._natural(facts)),
            "dream": lambda: _dream(self.preset, layer, facts, seed),
            "excitatory": lambda: recipe,
            "field": lambda: _field(self.preset, layer, seed),
            "twin": lambda: Twin(recipe, dataclasses.replace(recipe, seed=seed + 1)),
            "inhibitory": lambda: dataclasses.replace(recipe, aim="inhibit"),
        }
        return makers[kind]()

    def _natural(self, facts: NetworkFacts) -> Natural:
        assert self.images, "the plan leaves this kind out without photographs"
        return Natural(self.images.sha256, facts.input_size_px)

    def _recipe(self, layer: Layer, facts: NetworkFacts) -> Recipe:
        if self.recipe == "progressive":
            return _progressive(self.preset, layer, self.seed)
        return _fourier(self.preset, layer, facts, self.seed)


def units_of(kind: Kind, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
    """What one kind of artifact is made for, when these units of a layer are chosen."""
    if kind in PER_LAYER:
        return (layer.whole,)
    if kind == "twin":
        return tuple(unit for unit in chosen if unit.index in twin_indices(layer))
    if kind == "examples":
        return tuple(dict.fromkeys(layer.unit(first_on_sheet(unit.index)) for unit in chosen))
    return tuple(chosen)


def first_on_sheet(index: int) -> int:
    """The unit that a sheet of examples is named after, for any of the units on it."""
    return index - index % STRIPS_PER_ROW**2


def twin_indices(layer: Layer) -> tuple[int, ...]:
    """The sample of a layer's units that are rendered twice: evenly spread, the same always."""
    n_twins = min(N_TWINS, layer.n_units)
    return tuple(nth * layer.n_units // n_twins for nth in range(n_twins))


def artifact_keys(
    weights_sha256: str, units: Sequence[Unit], kind: Kind, spec: ArtifactSpec
) -> tuple[str, ...]:
    """The content addresses of artifacts of one kind: 64 hex digits for each unit.

    Equal for equal weights, unit, kind and recipe; different as soon as one of them is.
    """
    shared = {"weights": weights_sha256, "kind": kind, "recipe": describe(spec)}
    begun = hashlib.sha256(canonical_json(shared).encode())
    digests = []
    for unit in units:
        digest = begun.copy()
        digest.update(unit.id.encode())
        digests.append(digest.hexdigest())
    return tuple(digests)


def describe(spec: ArtifactSpec) -> dict[str, Any]:
    """A recipe as plain data, its name and version included."""
    if isinstance(spec, Twin):
        parts: dict[str, Any] = {"first": describe(spec.first), "second": describe(spec.second)}
    else:
        parts = dataclasses.asdict(spec)
    return {"name": spec.name, "version": spec.version, **parts}


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """`excitatory,filter` as kinds, in the order of making.

    Raises:
        SpecError: a kind that there is not.
    """
    names = {part.strip() for part in text.split(",") if part.strip()}
    for name in sorted(names - set(KINDS)):
        raise SpecError(f"no kind {name!r}; there are {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names)


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


def _tuning(facts: NetworkFacts) -> Tuning:
    """Periods and radii that rise by about a half each, as far as the input holds them."""
    size_px = facts.input_size_px
    return Tuning(
        size_px,
        periods_px=tuple(px for px in (3, 4, 6, 8, 12, 16, 24, 32, 48) if 4 * px <= size_px),
        radii_px=tuple(px for px in (4, 6, 9, 13, 19, 28, 42, 62) if 3 * px <= size_px),
    )


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
    if layer.kind == "classifier":
        return _class_fourier(preset, layer, facts, seed)
    field_px = layer.receptive_field_px
    full_px = _full_px(preset, facts)
    margin_px = _margin_px(full_px, field_px)
    canvas_px = min(full_px, _rounded_up(4 * field_px + 48))
    if preset == "fine":  # the finished picture itself is to be full
        canvas_px = full_px + 2 * margin_px
    stages, lr = _stages(preset, canvas_px), _lr(preset)
    return Fourier(stages, margin_px, "power", decay=_decay(layer), lr=lr, seed=seed)


def _class_fourier(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """Most steps on a small canvas, where a class's object is large; much jitter, little roughness.

    What was tried, and how well another network names the results:
    docs/decisions/0002-class-pictures.md.
    """
    return Fourier(
        _class_stages(preset, facts),
        0,
        "power",
        decay=_decay(layer),
        lr=_lr(preset),
        rotation_deg=12.0,
        zoom=0.16,
        shift=0.12,
        roughness=300.0,
        seed=seed,
    )


def _class_stages(preset: PresetName, facts: NetworkFacts) -> tuple[Stage, ...]:
    if preset == "preview":
        return _stages(preset, _full_px(preset, facts))
    input_px = facts.input_size_px
    stages = (
        Stage(_rounded_up(input_px * 3 / 7), 192),
        Stage(_rounded_up(input_px * 9 / 14), 80, window_px=_rounded_up(input_px * 4 / 7)),
        Stage(input_px, 32, window_px=_rounded_up(input_px * 5 / 7)),
    )
    finest = Stage(FINE_PX, 32, window_px=_rounded_up(FINE_PX * 5 / 7))
    return (*stages, finest) if preset == "fine" else stages


def _dream(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """All channels of a layer at once, on the largest canvas: the layer's cover."""
    canvas_px = _full_px(preset, facts)
    stages, lr = _stages(preset, canvas_px), _lr(preset)
    return Fourier(stages, 0, "layer", decay=_decay(layer), lr=lr, seed=seed)


def _field(preset: PresetName, layer: Layer, seed: int) -> Fourier:
    """One position in the middle, on a canvas that holds its field and meets no padding.

    Jitter is small: what there is to see is the place of each thing within the field.
    """
    canvas_px = _rounded_up(1.25 * layer.receptive_field_px + 4 * layer.total_stride_px, 4)
    steps = 32 if preset == "preview" else 128
    return Fourier(
        (Stage(canvas_px, steps),),
        0,
        "centre",
        decay=1.0,
        init_std=0.1,
        rotation_deg=5.0,
        zoom=0.05,
        shift=0.03,
        seed=seed,
    )


def _has_small_fields(layer: Layer, facts: NetworkFacts) -> bool:
    """Whether a single receptive field is a picture of its own, rather than the whole image."""
    return 2 * layer.receptive_field_px <= facts.input_size_px


def _full_px(preset: PresetName, facts: NetworkFacts) -> int:
    return {
        "preview": round(2 / 7 * facts.input_size_px),
        "standard": facts.input_size_px,
        "fine": FINE_PX,
    }[preset]


def _margin_px(full_px: int, field_px: int) -> int:
    return max(0, min(field_px // 2, (full_px - field_px) // 4))


def _decay(layer: Layer) -> float:
    """Small fields see only high frequencies."""
    return min(MAX_DECAY, 0.5 + layer.receptive_field_px / 160)


def _lr(preset: PresetName) -> float:
    return 0.25 if preset == "preview" else 0.1


def _stages(preset: PresetName, canvas_px: int) -> tuple[Stage, ...]:
    """Coarse to fine: cheap steps first, and larger objects come of it."""
    if preset == "preview":
        return (Stage(canvas_px, 12),)
    coarse_px = _rounded_up(canvas_px * 4 / 7)
    stages = (Stage(coarse_px, 48), Stage(canvas_px, 32))
    if preset == "fine":
        return (Stage(_rounded_up(coarse_px * 4 / 7), 96), *stages)
    return stages


def _rounded_up(size_px: float, step_px: int = 16) -> int:
    return math.ceil(size_px / step_px) * step_px
