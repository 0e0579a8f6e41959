"""What exists in a network: its layers and units, and how they are spelled.

This is the only place that makes ids, slugs, page paths and picture paths.
Everything here is plain data, so the site and the command can use it without torch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

LayerKind = Literal["conv", "classifier"]
ScoreName = Literal["z", "mean", "logit"]
Kind = Literal[
    "filter",
    "circuit",
    "noise",
    "tuning",
    "natural",
    "examples",
    "dream",
    "excitatory",
    "field",
    "twin",
    "inhibitory",
    "similar",
    "like",
]  # of artifact; what each is, and which layers have it: atlas/spec.py
WHOLE_LAYER = -1  # in place of a unit's index: all channels at once


@dataclass(frozen=True)
class Layer:
    """One convolution, or the classifier, as the walk found it in forward order.

    Sizes given as pairs are (height, width). A classifier is described as a 1x1
    convolution over the pooled features; its `output_px` is (1, 1).
    """

    name: str  # torch's dotted name, e.g. "layer3.0.conv2"
    index: int  # position in forward order, from 0
    kind: LayerKind
    n_units: int
    in_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    stage: str  # "stem", "layer3", "classifier"
    block: str | None  # "layer3.0", or None outside a block
    batch_norm: str | None  # name of the BatchNorm that follows
    writers: tuple[str, ...]  # layers whose channels it takes in, several where they are summed
    output_px: tuple[int, int]  # size of its map for an image of the network's input size
    receptive_field_px: int  # of one position of the map, in image pixels, before clipping
    field_centre_px: float  # of the receptive field of position 0; pixel 0 is at 0
    total_stride_px: int  # image pixels between neighbouring positions of the map
    macs: int  # multiply-accumulates from the image to this layer, for one image

    @property
    def reads(self) -> str | None:
        """The layer whose channels it takes in, None where several are summed or none is there."""
        return self.writers[0] if len(self.writers) == 1 else None

    def unit(self, index: int) -> Unit:
        """The unit at `index`, which must be below `n_units`."""
        assert index >= 0, (self.name, index)
        return self.units[index]

    @property
    def score_name(self) -> ScoreName:
        """What answers are counted in: sigmas, or where no BatchNorm tells them, as they are."""
        if self.kind == "classifier":
            return "logit"
        return "z" if self.batch_norm else "mean"

    @cached_property
    def whole(self) -> Unit:
        """The layer itself in the place of a unit, for what is made once per layer."""
        return Unit(self.name, WHOLE_LAYER)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units of the layer, in order."""
        return tuple(Unit(self.name, index) for index in range(self.n_units))


@dataclass(frozen=True, order=True)
class Unit:
    """One output channel of a conv layer, or one class logit; or a whole layer in their place."""

    layer: str
    index: int

    @cached_property
    def id(self) -> str:
        """`layer3.0.conv2:117`, the name used in manifests, caches and searches."""
        return self.layer if self.is_whole else f"{self.layer}:{self.index}"

    @property
    def is_whole(self) -> bool:
        """Whether this stands for all units of its layer."""
        return self.index == WHOLE_LAYER

    @property
    def slug(self) -> str:
        """`0117`, the stem of the unit's page and picture."""
        return f"{self.index:04d}"


@dataclass(frozen=True)
class NetworkFacts:
    """Everything about a loaded network that is not a tensor."""

    name: str  # "ResNet-50"
    weights: str  # "IMAGENET1K_V1", or the file's name
    sha256: str  # of the weights file
    labels: tuple[str, ...]  # one per class, by index
    labels_source: str  # where the labels come from, said on the about page
    input_size_px: int
    mean: tuple[float, ...]  # per image channel, of the weights' own preprocessing
    std: tuple[float, ...]
    layers: tuple[Layer, ...]

    @property
    def n_units(self) -> int:
        """Units in the whole network."""
        return sum(layer.n_units for layer in self.layers)

    @cached_property
    def summed_with(self) -> dict[str, tuple[str, ...]]:
        """By layer, those that write the same channels of a sum, in forward order."""
        groups = [layer.writers for layer in self.layers if len(layer.writers) > 1]
        together: dict[str, set[str]] = {name: set() for group in groups for name in group}
        for group in groups:
            for name in group:
                together[name] |= {*group} - {name}
        names = [layer.name for layer in self.layers]
        return {name: tuple(sorted(others, key=names.index)) for name, others in together.items()}

    def layer(self, name: str) -> Layer:
        """The layer called `name`, which must exist."""
        return next(layer for layer in self.layers if layer.name == name)

    def to_json(self) -> str:
        """Canonical JSON, the inverse of `from_json`."""
        return canonical_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkFacts:
        """Facts as `to_json` wrote them."""
        data = json.loads(text)
        layers = tuple(Layer(**_tuples(layer)) for layer in data.pop("layers"))
        return cls(layers=layers, **_tuples(data))


def layer_dir(layer: str) -> str:
    """Folder of a layer inside the site, relative to the site's root."""
    return layer


def unit_page(unit: Unit) -> str:
    """Path of a unit's page, relative to the site's root."""
    return f"{unit.layer}/{unit.slug}.html"


def like_page(slug: str) -> str:
    """Path of the page of an image that was looked up, relative to the site's root."""
    return f"like/{slug}.html"


def like_picture_path(slug: str) -> str:
    """Path of such an image itself, relative to the site's root."""
    return f"like/{slug}.webp"


def picture_path(unit: Unit) -> str:
    """Path of a unit's excitatory picture, relative to the site's root."""
    return f"{unit.layer}/{unit.slug}.webp"


def cover_path(layer: str) -> str:
    """Path of the picture that stands for a whole layer, relative to the site's root."""
    return f"{layer_dir(layer)}/cover.webp"


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
