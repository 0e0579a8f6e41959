"""How the responses of units to the sampled photographs are spread, from weak to strong."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import SiteError
from atlas.kinds.natural import KIND, NaturalRecord
from atlas.site.contents import Contents
from atlas.text import displayable
from atlas.units import Layer

N_BINS = 24  # of equal width, from a unit's lowest response to its highest

Counts = NDArray[np.int64]  # photographs per bin: (n_units, N_BINS)


def histograms(contents: Contents) -> Mapping[str, Counts]:
    """By layer, how many of the sampled photographs are in each bin of each unit.

    Raises:
        SiteError: what was kept of the responses cannot be read.
        DamagedError: it is damaged and can be made again.
    """
    counts = {}
    for layer in contents.facts.layers:
        entry, record = contents.entry(layer.whole, KIND), contents.layer_record(layer, KIND)
        if entry and entry.n_bytes and record and record.lowest and record.highest:
            counts[layer.name] = binned(_responses(contents.read(entry.key), layer), record)
    return counts


def binned(responses: NDArray[Any], record: NaturalRecord) -> Counts:
    """How many responses, (n_images, n_units), are in each bin between the extremes."""
    n_units = responses.shape[1]
    low, high = (np.asarray(ends, np.float32) for ends in (record.lowest, record.highest))
    places = (np.nan_to_num(responses) - low) / np.where(high > low, high - low, 1)
    bins = (places * N_BINS).astype(np.int64).clip(0, N_BINS - 1)  # (n_images, n_units)
    flat = np.bincount((bins + N_BINS * np.arange(n_units)).ravel(), minlength=N_BINS * n_units)
    return flat.reshape(n_units, N_BINS)


def outline(counts: Counts, height: int) -> str:
    """The upper edge of a histogram as a path for SVG; a bin is one wide, the highest is `height`.

    Bins with any photograph are at least one high.
    """
    tallest = max(int(counts.max()), 1)
    tops = (-(-int(count) * height // tallest) for count in counts)
    steps, before = [f"M0 {height}"], 0
    for top, bins in itertools.groupby(tops):
        steps.append(f"v{before - top}" * (top != before) + f"h{len(list(bins))}")
        before = top
    return f"{''.join(steps)}V{height}z"


def _responses(data: bytes, layer: Layer) -> NDArray[Any]:
    """Responses of a layer's units to the sampled photographs, (n_images, n_units)."""
    try:
        responses = np.load(io.BytesIO(data), allow_pickle=False)
        if responses.ndim == 2 and responses.shape[1] == layer.n_units:
            return np.asarray(responses, np.float32)
    except (ValueError, OSError, EOFError):
        pass
    raise SiteError(
        f"the responses of {displayable(layer.name, 60)} to photographs cannot be read; they were "
        "not made by this program: give another folder with --cache"
    )
