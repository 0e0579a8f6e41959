"""Caricatures: what a layer keeps of a photograph, exaggerated.

Source: Olah et al. 2018, "The building blocks of interpretability",
https://distill.pub/2018/building-blocks/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.on_demand.page import OnDemand, OnDemandRecord, Request
from atlas.recipes import (
    LAST_JITTER,
    LEAST_GRADIENT,
    MOMENTUM,
    Fourier,
    decay_of,
    fitting_stages,
    full_px,
    learning_rate,
    stages_for,
)
from atlas.records import value
from atlas.text import displayable_name
from atlas.units import Layer, NetworkFacts, Unit

LEAST_DECAY = 1.2  # of frequencies; with less, shallow layers cover smooth parts with patterns


@dataclass(frozen=True)
class CaricatureSpec:
    """One photograph at one layer.

    The score is the projection of the picture's responses on those of the photograph, times their
    cosine to a power. All units and positions of the layer count, in sigmas from their averages, so
    that no unit counts more because its numbers are larger.
    """

    name: ClassVar[str] = "caricature"
    version: ClassVar[int] = 1

    pixels_sha256: str  # of the photograph as the network is given it
    layer: str
    recipe: Fourier
    cosine_power: float = 2.0


@dataclass(frozen=True)
class CaricatureRecord(OnDemandRecord):
    """How alike a photograph and its caricature are to a layer."""

    layer: str = value("the layer")
    cosine: float = value(
        "cosine between the layer's responses to the caricature and to the photograph, in σ from "
        "the averages of its units"
    )
    cosine_start: float = value("the same for the noise that the ascent began with")


def lines(record: CaricatureRecord, facts: NetworkFacts) -> Iterator[str]:
    """How like a layer's answers are."""
    yield f"{record.layer:24} likeness {record.cosine:.2f}, of noise {record.cosine_start:.2f}"


KIND = OnDemand(
    name=paths.CARICATURE_DIR,
    plural="caricatures",
    noun="photographs with caricatures",
    title="Caricatures of {name}",
    record=CaricatureRecord,
    make="atlas.on_demand.caricature.make:make",
    view="atlas.on_demand.caricature.view:caricature_view",
    template="caricature.html",
    lines=lines,
    about=lambda record: (record.layer,),
)


def requests(
    photo: Path, layers: Sequence[Layer], asked: AtlasSpec, facts: NetworkFacts
) -> tuple[Request, ...]:
    """The requests for a photograph's caricatures at some layers.

    Raises:
        SpecError: the file is no image.
        ImagesError: it cannot be read now.
    """
    from atlas.images import read_photograph

    pixels = read_photograph(photo, facts.preprocessing)
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    slug, name = paths.slug(photo.stem, sha256), displayable_name(photo.name)
    return tuple(
        Request(
            KIND,
            Unit(slug, layer.index),
            name,
            CaricatureSpec(sha256, layer.name, _recipe(asked, layer, facts)),
            pixels,
        )
        for layer in layers
    )


def last_of_stages(facts: NetworkFacts) -> tuple[Layer, ...]:
    """The last layer of each stage, without the classifier: those that are taken unasked."""
    layers = (layer for layer in facts.layers if not layer.is_classifier)
    return tuple(list(stage)[-1] for _, stage in groupby(layers, lambda layer: layer.stage))


def _recipe(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> Fourier:
    """On the canvas of the preset, at most as large as what the network sees of a photograph."""
    canvas_px = min(full_px(asked.preset, facts), facts.input_size_px)
    return Fourier(
        fitting_stages(stages_for(asked.preset, canvas_px, layer, facts), layer, facts),
        0,
        "layer",
        decay=max(LEAST_DECAY, decay_of(layer)),
        lr=learning_rate(asked.preset, layer),
        momentum=MOMENTUM,
        least_gradient=LEAST_GRADIENT,
        last_jitter=LAST_JITTER,
        seed=asked.seed,
    )
