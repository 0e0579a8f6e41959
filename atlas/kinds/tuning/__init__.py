"""Tuning curves and preferences of every unit for gratings, colours and rings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost, pass_cost
from atlas.kinds.kind import Column, Kind, Preset, Section, WholeLayer
from atlas.records import axis, per_unit
from atlas.units import Layer, NetworkFacts

Curves = Sequence[Sequence[float]]  # per unit of a layer, the response to each stimulus
Preferences = Sequence[float | None]  # None where a unit responds to none of the stimuli

DIRECTIONS = (
    Preset("horizontal stripes", 165, 15),
    Preset("rising diagonals", 30, 60),
    Preset("vertical stripes", 75, 105),
    Preset("falling diagonals", 120, 150),
)
COLOURS = (
    Preset("red", 340, 20),
    Preset("yellow", 40, 80),
    Preset("green", 100, 140),
    Preset("cyan", 160, 200),
    Preset("blue", 220, 260),
    Preset("magenta", 280, 320),
)


@dataclass(frozen=True)
class TuningSpec:
    """Gratings, hues and rings, drawn on the network's mean colour at its input size."""

    name: ClassVar[str] = "tuning"
    version: ClassVar[int] = 1

    size_px: int
    periods_px: tuple[int, ...]  # of the gratings
    radii_px: tuple[int, ...]  # of the rings
    n_orientations: int = 12
    n_phases: int = 4
    n_hues: int = 12

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Numbers of images with gratings, hues, rings of both polarities, and the blank."""
        n_gratings = len(self.periods_px) * self.n_orientations * self.n_phases
        return n_gratings, self.n_hues, 2 * len(self.radii_px), 1

    @property
    def n_stimuli(self) -> int:
        """Number of images that are shown."""
        return sum(self.counts)


@dataclass(frozen=True)
class TuningRecord:
    """The tuning of a layer's units."""

    orientations_deg: Sequence[float] = axis("orientations at which `orientation` is measured")
    periods_px: Sequence[int] = axis("periods at which `period` is measured")
    hues_deg: Sequence[float] = axis("hues at which `hue` is measured")
    radii_px: Sequence[int] = axis("radii at which `ring` is measured")
    orientation: Curves = per_unit("responses to stripes of each orientation, at the best period")
    period: Curves = per_unit("responses to stripes of each period, at the best orientation")
    hue: Curves = per_unit("responses to each hue")
    ring: Curves = per_unit("responses to rings of each radius")
    blank: Sequence[float] = per_unit("response to the bare background")
    orientation_deg: Preferences = per_unit("preferred orientation, in degrees")
    orientation_selectivity: Preferences = per_unit(
        "selectivity for orientation: one minus the circular variance, 0 to 1"
    )
    period_px: Preferences = per_unit("preferred period, in pixels")
    hue_deg: Preferences = per_unit("preferred hue, in degrees")
    hue_selectivity: Preferences = per_unit(
        "selectivity for hue: one minus the circular variance, 0 to 1"
    )
    ring_px: Preferences = per_unit("preferred radius of a ring, in pixels")

    @property
    def stripes_rise(self) -> list[float]:
        """How far the best stripes drive each unit above the bare background."""
        return self._rises(self.orientation)

    @property
    def hue_rise(self) -> list[float]:
        """The same of the best hue."""
        return self._rises(self.hue)

    @property
    def ring_rise(self) -> list[float]:
        """The same of the best ring."""
        return self._rises(self.ring)

    def _rises(self, curves: Curves) -> list[float]:
        return [
            round(max(0.0, max(curve) - blank), 2)
            for curve, blank in zip(curves, self.blank, strict=True)
        ]


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> TuningSpec:
    """Periods and radii that grow by a third to a half each, as far as they fit into the input."""
    size_px = facts.input_size_px
    return TuningSpec(
        size_px,
        periods_px=tuple(px for px in (3, 4, 6, 8, 12, 16, 24, 32, 48) if 4 * px <= size_px),
        radii_px=tuple(px for px in (4, 6, 9, 13, 19, 28, 42, 62) if 3 * px <= size_px),
    )


def has_room(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether a grating and a ring fit into the network's input."""
    stimuli = spec(asked, layer, facts)
    return bool(stimuli.periods_px and stimuli.radii_px)


def cost(spec: TuningSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for showing all stimuli."""
    return pass_cost(spec.n_stimuli, layer, facts)


KIND = Kind(
    name="tuning",
    about="what every unit answers to gratings, colours and rings",
    scope=WholeLayer(),
    spec=spec,
    record=TuningRecord,
    make="atlas.kinds.tuning.make:make",
    cost=cost,
    possible=has_room,
    needs="images of 12 px or more, into which gratings and rings fit",
    is_one_pass=True,
    folder=Path(__file__).parent,
    order=50,
    columns=(
        Column(
            "orientation",
            "orientation_deg",
            "°",
            "orientation_selectivity",
            full_turn=180,
            presets=DIRECTIONS,
            words="of its stripes: 0 horizontal, 45 rising, 90 vertical",
            about="tuning",
        ),
        Column(
            "orientation selectivity",
            "orientation_selectivity",
            words="0: all directions alike, 1: one alone",
            about="tuning",
        ),
        Column(
            "period",
            "period_px",
            "px",
            words="of its stripes: a light and a dark one together",
            about="tuning",
        ),
        Column(
            "hue",
            "hue_deg",
            "°",
            "hue_selectivity",
            full_turn=360,
            presets=COLOURS,
            words="of its colour: 0 red, 120 green, 240 blue",
            about="tuning",
        ),
        Column(
            "hue selectivity",
            "hue_selectivity",
            words="0: all colours alike, 1: one alone",
            about="tuning",
        ),
        Column(
            "ring radius", "ring_px", "px", words="of the ring that drives it most", about="tuning"
        ),
        *(
            Column(
                f"{{noun}} with {stimulus}",
                field,
                "{unit}",
                words=f"for the best {stimulus}, above bare background",
                about="tuning",
            )
            for stimulus, field in (
                ("stripes", "stripes_rise"),
                ("colours", "hue_rise"),
                ("rings", "ring_rise"),
            )
        ),
    ),
    unit_sections=(Section("below", "section.html", "atlas.kinds.tuning.view:section_view"),),
    glossary="glossary.html",
)
