"""The parts of photographs that drive a unit most, and some that drive it less."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.kinds.kind import Encoding, Kind, SheetOf, Source
from atlas.kinds.natural import has_images
from atlas.kinds.photographs import MAX_IMAGES
from atlas.sheets import TINY_PX, SheetKind, Size
from atlas.units import Layer, NetworkFacts

STRIPS_PER_ROW = 3  # of a sheet of examples, which has as many rows
SHEET_MACS = 8e9  # as long as 45 ms of an ascent


@dataclass(frozen=True)
class StripLayout:
    """Where a unit's examples are on its strip: three rows of four, in a frame of 17:13.

    This ratio fits three rows of four square examples with the gaps between and around them.
    """

    side_px: int  # of an example

    rows: ClassVar[int] = 3
    columns: ClassVar[int] = 4
    top_columns: ClassVar[int] = 3  # on the left, with the strongest examples

    @property
    def gap_px(self) -> int:
        """The gap between two examples."""
        return max(1, self.side_px // 32)

    @property
    def size_px(self) -> Size:
        """Width and height of the strip."""
        width, height = self._content_px
        scale = max(math.ceil(width / 17), math.ceil(height / 13))
        return 17 * scale, 13 * scale

    def corner_px(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of an example on the strip."""
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
        """The additional gap between the strongest examples and the others."""
        return 2 * self.gap_px


@dataclass(frozen=True)
class ExamplesSpec:
    """Crops of the photographs that drive each unit most, and of some that drive it less."""

    name: ClassVar[str] = "examples"
    version: ClassVar[int] = 2

    image_px: int  # side of a photograph as the network is given it
    side_px: int = 56  # of one example, unless its receptive field is below TINY_PX

    def layout(self, layer: Layer) -> StripLayout:
        """How the examples of a layer's units are arranged."""
        field_px = min(layer.receptive_field_px, self.image_px)
        return StripLayout(field_px if field_px < TINY_PX else self.side_px)


@dataclass(frozen=True)
class GreyExamplesSpec(ExamplesSpec):
    """The same in grey, for networks that are given brightness alone."""

    version: ClassVar[int] = 3


@dataclass(frozen=True)
class ExamplesRecord:
    """Examples have no numbers: the responses to photographs belong to the kind `natural`."""


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> ExamplesSpec:
    """The spec, which is the same for all layers."""
    spec_type = ExamplesSpec if facts.preprocessing.has_colours else GreyExamplesSpec
    return spec_type(facts.input_size_px)


def sources(asked: AtlasSpec) -> tuple[Source, ...]:
    """The responses of the layer's units to the photographs."""
    return (Source("natural"),)


def cost(spec: ExamplesSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for cropping and encoding a sheet."""
    return Cost(each=SHEET_MACS)


def possible(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether there are more photographs than are shown whole, or crops are asked for."""
    is_asked = ExamplesSpec.name in asked.kinds
    return has_images(asked, layer, facts) and (is_asked or asked.n_images > MAX_IMAGES)


KIND = Kind(
    name="examples",
    about="small crops of them, where there are more",
    scope=SheetOf(STRIPS_PER_ROW**2),
    spec=spec,
    record=ExamplesRecord,
    make="atlas.kinds.examples.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=80,
    possible=possible,
    needs="photographs: give a folder with --images",
    needs_images=True,
    sources=sources,
    # The site shows the sheets small and unchanged, so their quality is low.
    encoding=Encoding(
        quality=42, lossless_below_px=STRIPS_PER_ROW * StripLayout(TINY_PX).size_px[0]
    ),
    sheet=SheetKind("examples", columns=STRIPS_PER_ROW, cell_px=None),
    sheet_words="photographs",
    glossary="glossary.html",
)
