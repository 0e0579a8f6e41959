"""One picture for all units of a layer at once: the layer's cover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.costs import ascent_cost
from atlas.kinds.kind import Kind, Section, WholeLayer
from atlas.recipes import (
    LAST_JITTER,
    LEAST_GRADIENT,
    MOMENTUM,
    Fourier,
    decay_of,
    fitting_stages,
    full_px,
    full_size_steps,
    learning_rate,
    stages_for,
)
from atlas.records import value
from atlas.units import Layer, NetworkFacts


@dataclass(frozen=True)
class DreamRecord:
    """What was measured on the picture for a whole layer."""

    rms: float | None = value(
        "root mean square activation over all units and positions", default=None
    )
    rms_start: float | None = value("`rms` on the noise that the ascent began with", default=None)
    enlargement: int | None = value(
        "pixels of the picture, in a row, for each pixel that the network was shown; missing: one",
        default=None,
    )
    dead: bool = value("whether the gradient was zero at every step of the ascent", default=False)


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> Fourier:
    """The recipe: excite all channels of a layer at once, on the largest canvas of the preset."""
    stages = stages_for(asked.preset, full_px(asked.preset, facts), layer, facts)
    return Fourier(
        fitting_stages(stages, layer, facts),
        0,
        "layer",
        decay=decay_of(layer),
        lr=learning_rate(asked.preset, layer),
        momentum=MOMENTUM,
        least_gradient=LEAST_GRADIENT,
        last_jitter=LAST_JITTER,
        seed=asked.seed,
    )


KIND = Kind(
    name="dream",
    about="one picture per layer, for all of its units at once",
    scope=WholeLayer(),
    spec=spec,
    record=DreamRecord,
    make="atlas.kinds.dream.make:make",
    folder=Path(__file__).parent,
    order=25,
    layer_file=paths.COVER,
    layer_alt="Synthetic picture that excites all of {layer} at once",
    steps=full_size_steps,
    cost=ascent_cost,
    layer_sections=(Section("figure", "figure.html", "atlas.kinds.dream.view:figure_view"),),
    glossary="glossary.html",
)
