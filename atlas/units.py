"""The layers and units of a network, as plain data without torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from atlas.canonical import canonical_json

LayerKind = Literal["conv", "pointwise", "hidden", "classifier"]
Merge = Literal["", "sum", "concat", "product", "mixed"]
SigmaSource = Literal["batch_norm", "measured"]
ScoreName = Literal["z", "logit"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
N_REFERENCE_IMAGES = 64  # generated, to measure sigmas on where no BatchNorm follows
SIGMAS_VERSION = 1  # of that measurement; a change makes what depends on it anew
WHOLE_LAYER = -1  # in place of a unit's index: all units of the layer at once


@dataclass(frozen=True)
class Layer:
    """A convolution, a linear layer or the classifier, in forward order.

    Sizes given as pairs are (height, width). A linear layer is described as a 1x1 convolution:
    a pointwise one over a map, any other over a map of one position, so its `output_px` is (1, 1).
    A classifier that is a convolution counts as one position too: its units are the classes.
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
    batch_norm: str | None  # name of the BatchNorm that follows, if it has running statistics
    writers: tuple[str, ...]  # layers whose channels it reads one to one: alone, summed or joined
    output_px: tuple[int, int]  # size of its map for an image of the network's input size
    receptive_field_px: int  # of one position of the map, in image pixels, before clipping
    field_centre_px: float  # of the receptive field of position 0; pixel 0 is at 0
    total_stride_px: int  # image pixels between neighbouring positions of the map
    macs: int  # multiply-accumulates from the image to this layer, for one image
    takes_one_size: bool = False  # computed for images of the network's input size only
    smallest_px: int = 1  # side of images that it can be computed for, as are all larger ones
    inputs: tuple[str, ...] = ()  # layers before it with no layer between; none: it reads the image
    merge: Merge = ""  # how these are joined on the way to it
    gates: tuple[str, ...] = ()  # layers whose output multiplies its input
    is_traced: bool = True  # False: its receptive field and what it reads are not known
    n_calls: int = 1  # how often it is used for one image; described by the first time

    @property
    def reads(self) -> str | None:
        """The layer whose channels it reads; None where several are summed or there is none."""
        return self.writers[0] if len(self.writers) == 1 else None

    def unit(self, index: int) -> Unit:
        """The unit at `index`, which must be in 0..n_units-1."""
        assert index >= 0, (self.name, index)
        return self.units[index]

    def __getstate__(self) -> dict[str, Any]:
        """Its fields, to be pickled: units are made again where they are asked for."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def is_classifier(self) -> bool:
        """Whether its units are classes."""
        return self.kind == "classifier"

    @property
    def has_maps(self) -> bool:
        """Whether its units are channels, with a map of positions each."""
        return self.kind in ("conv", "pointwise")

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution whose units are channels."""
        return self.kind == "conv"

    @property
    def is_depthwise(self) -> bool:
        """Whether it is a convolution of which each unit reads one of several channels."""
        return self.is_conv and self.groups == self.in_channels > 1

    @property
    def sigma(self) -> SigmaSource:
        """Where its units' standard deviations come from: that BatchNorm, or generated images."""
        return "batch_norm" if self.batch_norm else "measured"

    @property
    def score_name(self) -> ScoreName:
        """The scale of responses: logits of classes, else sigmas."""
        return "logit" if self.is_classifier else "z"

    @cached_property
    def whole(self) -> Unit:
        """The layer itself in place of a unit, for artifacts that are made once per layer."""
        return Unit(self.name, WHOLE_LAYER)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units of the layer, in order."""
        return tuple(Unit(self.name, index) for index in range(self.n_units))


@dataclass(frozen=True, order=True)
class Unit:
    """A channel of a convolution, an output of a linear layer, or a whole layer."""

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


@dataclass(frozen=True)
class Preprocessing:
    """How weights expect an image to be prepared."""

    size_px: int  # side of the square that the network is given
    resize_px: float  # of the short side, before the middle is cut out; may be a fraction
    mean: tuple[float, ...]  # per image channel, subtracted from values in 0..1
    std: tuple[float, ...]  # per image channel, divided by
    interpolation: Interpolation = "bilinear"

    @property
    def has_colours(self) -> bool:
        """Whether the network is given colours, and not brightness alone."""
        return len(self.mean) >= 3


@dataclass(frozen=True)
class NetworkFacts:
    """Everything about a loaded network that is not a tensor."""

    name: str  # "VGG-16"
    family: str  # the name of the family that built it
    weights: str  # "IMAGENET1K_V1", or the file's name
    sha256: str  # of the weights file
    labels: tuple[str, ...]  # one per class, by index
    labels_source: str  # where the labels come from, for the about page
    preprocessing: Preprocessing
    layers: tuple[Layer, ...]
    label_ids: tuple[str, ...] = ()  # WordNet ids of the classes, by index, where they are known
    preprocessing_source: str = ""  # where it comes from, if not from published weights
    variant: str = ""  # what the network is beside its weights, where these do not decide it
    remarks: tuple[str, ...] = ()  # what there is to know of weights and layers, each in one line

    @property
    def identity(self) -> str:
        """A digest for the addresses of artifacts: of the weights, and of the variant if any."""
        if not self.variant:
            return self.sha256
        return hashlib.sha256(f"{self.sha256} {self.variant}".encode()).hexdigest()

    @property
    def input_size_px(self) -> int:
        """Side of the square that the network is given."""
        return self.preprocessing.size_px

    @property
    def n_units(self) -> int:
        """Number of units in the whole network."""
        return sum(layer.n_units for layer in self.layers)

    @cached_property
    def classifier(self) -> Layer | None:
        """The layer whose units are the classes, None where the network has none."""
        return next((layer for layer in self.layers if layer.is_classifier), None)

    @cached_property
    def summed_with(self) -> dict[str, tuple[str, ...]]:
        """By layer, the other layers that are added to the same sum, in forward order."""
        sums = [layer for layer in self.layers if layer.merge in ("", "sum")]
        groups = [layer.writers for layer in sums if len(layer.writers) > 1]
        together: dict[str, set[str]] = {name: set() for group in groups for name in group}
        for group in groups:
            for name in group:
                together[name] |= {*group} - {name}
        names = [layer.name for layer in self.layers]
        return {name: tuple(sorted(others, key=names.index)) for name, others in together.items()}

    def unit(self, unit_id: str) -> Unit:
        """The unit with an id such as `layer3.0.conv2:117`, which must exist."""
        layer, _, index = unit_id.rpartition(":")
        return self.layer(layer).unit(int(index))

    def layer(self, name: str) -> Layer:
        """The layer called `name`, which must exist."""
        return self._by_name[name]

    def layer_of(self, unit_id: str) -> Layer | None:
        """The layer with an id, or with the unit that has it; None if there is none."""
        return self._by_name.get(unit_id) or self._by_name.get(unit_id.rpartition(":")[0])

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def to_json(self) -> str:
        """Canonical JSON, the inverse of `from_json`; remarks are left out if there are none."""
        data = dataclasses.asdict(self)
        if not self.remarks:
            del data["remarks"]
        return canonical_json(data)

    @classmethod
    def from_json(cls, text: str) -> NetworkFacts:
        """Facts as `to_json` wrote them.

        Raises:
            KeyError, TypeError, ValueError: text that another version wrote.
        """
        data = json.loads(text)
        layers = tuple(_layer(layer) for layer in data.pop("layers"))
        preprocessing = Preprocessing(**_with_tuples(data.pop("preprocessing")))
        return cls(layers=layers, preprocessing=preprocessing, **_with_tuples(data))


def _layer(data: dict[str, Any]) -> Layer:
    """A layer of which every field is given, as another version may have had fewer."""
    if missing := {field.name for field in dataclasses.fields(Layer)} - data.keys():
        raise KeyError(*missing)
    return Layer(**_with_tuples(data))


def _with_tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
