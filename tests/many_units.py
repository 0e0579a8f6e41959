"""What units are found by, made up for a network as large as ResNet-50."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import site_factory

from atlas.kinds import KINDS
from atlas.kinds.kind import Column
from atlas.site.contents import Contents
from atlas.site.find_index import Found, FoundNumbers, FoundTexts
from atlas.units import NetworkFacts

N_UNITS = 27_560
N_CLASSES = 1000
SIZES_PX = (3, 4, 6, 8, 12, 16, 24, 32, 48)
STIMULI = {
    "orientation_step": 15,
    "hue_step": 30,
    "periods_px": SIZES_PX,
    "radii_px": SIZES_PX,
}


def facts() -> NetworkFacts:
    """The layers of ResNet-50."""
    made = site_factory.network(n_blocks=(3, 4, 6, 3), width=64)
    first, *others, last = made.layers
    first, last = (
        dataclasses.replace(first, n_units=64),
        dataclasses.replace(last, n_units=N_CLASSES),
    )
    return dataclasses.replace(made, layers=(first, *others, last))


def contents() -> Contents:
    """Every unit has a picture; nothing else is there."""
    network = facts()
    pictures = site_factory.Pictures()
    unit = network.layers[0].unit(0)
    data = site_factory.picture((9, 9, 9), (64, 64), False)
    entry = pictures.add(unit, "excitatory", data, {})
    entries = {unit.id: {"excitatory": entry} for layer in network.layers for unit in layer.units}
    spec: Any = site_factory.contents(site_factory.network(n_blocks=(1,)))[0].spec
    return Contents(network, spec, entries, pictures.read)


def found(seed: int = 0) -> Found:
    """Every column of every kind, with numbers that are spread as those of ResNet-50 are."""
    draw = np.random.default_rng(seed)
    numbers = [
        FoundNumbers(column.name.format(noun="peak"), unit_of(column), "", column, values)
        for kind in KINDS
        for column in kind.columns
        for values in [_values(column, draw)]
    ]
    words = [f"thing number {nth}" for nth in range(N_CLASSES)]
    shares = {
        "name": 0.5,
        "favourite class": 0.98,
        "class it speaks for": 0.08,
        "border place": 0.02,
    }
    texts = [
        FoundTexts(column, _words(words, shares[column.name], draw))
        for kind in KINDS
        for column in kind.text_columns
    ]
    return Found(tuple(numbers), tuple(texts))


def unit_of(column: Column) -> str:
    return column.unit.format(unit="σ")


def _values(column: Column, draw: np.random.Generator) -> Any:
    """Numbers with many digits, of which there are 30 % fewer where not all units are selective."""
    if column.field.endswith("_mark"):
        return np.where(draw.uniform(size=N_UNITS) < 0.01, 1.0, np.nan)
    if column.field == "large_excess":
        is_large = draw.uniform(size=N_UNITS) < 0.02
        return np.where(is_large, 5 + draw.lognormal(1, 1, N_UNITS).round(3), np.nan)
    if column.full_turn:
        values = draw.uniform(0, column.full_turn, N_UNITS)
    elif column.unit == "px":
        values = draw.choice(SIZES_PX, N_UNITS).astype(float)
    elif "selectivity" in column.name:
        values = draw.beta(1.2, 1.5, N_UNITS).round(2)
    elif column.name.startswith(("share", "AUC")):
        values = draw.beta(4, 2, N_UNITS)
    elif column.field == "n_effective":
        values = draw.lognormal(5, 1, N_UNITS)
    else:
        values = draw.lognormal(1, 1, N_UNITS).round(3)
    is_selective = column.full_turn or column.unit == "px" or "selectivity" in column.name
    return np.where(draw.uniform(size=N_UNITS) < 0.3 * bool(is_selective), np.nan, values)


def _words(words: list[str], share: float, draw: np.random.Generator) -> list[str | None]:
    chosen, has_one = draw.integers(0, len(words), N_UNITS), draw.uniform(size=N_UNITS) < share
    return [words[nth] if known else None for nth, known in zip(chosen, has_one, strict=True)]
