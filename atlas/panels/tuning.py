"""What units answer to gratings, colours and rings: tuning curves, preferences, selectivity.

Sources: Mazurek et al. 2014, https://doi.org/10.3389/fncir.2014.00092 (orientation selectivity as
1 - circular variance); Cammarata et al. 2020, https://distill.pub/2020/circuits/curve-detectors/
(tuning curves of units from synthetic stimuli).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from atlas.panels.panel import Panel
from atlas.panels.stimuli import Stimuli
from atlas.spec import Tuning
from atlas.taps import Watch
from atlas.units import Layer

CPU_BATCH, GPU_BATCH = 8, 64  # all maps of all layers are in memory at once
LEAST = 0.02  # an answer that is less above the blank background is none
DIGITS = 2


def n_stimuli(spec: Tuning) -> int:
    """Images that `tuning_panels` shows."""
    return len(Stimuli(spec, torch.zeros(3)))


def tuning_panels(
    watch: Watch, spec: Tuning, progress: Callable[[int], object] = lambda n_images: None
) -> list[Panel]:
    """For each watched layer, what every unit answers to each stimulus at its strongest position.

    Args:
        watch: of the layers.
        spec: of the stimuli.
        progress: told how many more images were shown.

    Raises:
        NetworkError: an answer is not finite.
    """
    stimuli = Stimuli(spec, watch.readers[0].image_mean.flatten().float())
    peaks: dict[str, list[Tensor]] = {reader.layer.name: [] for reader in watch.readers}
    for images in stimuli.batches(GPU_BATCH if watch.device.type == "cuda" else CPU_BATCH):
        for reader, z in watch.sigmas(images):
            peaks[reader.layer.name].append(reader.checked(z.amax((2, 3)).float()))
        progress(len(images))
    return [
        _panel(reader.layer, stimuli, torch.cat(peaks.pop(reader.layer.name)))
        for reader in watch.readers
    ]


def _panel(layer: Layer, stimuli: Stimuli, answers: Tensor) -> Panel:
    """From the answers (n_stimuli, n_units)."""
    spec = stimuli.spec
    gratings, hues, rings, blanks = answers.split(
        [stimuli.n_gratings, spec.n_hues, stimuli.n_rings, 1]
    )
    blank = blanks[0]  # (n_units,)
    of_gratings = gratings.unflatten(0, (spec.n_orientations, -1, spec.n_phases)).amax(2)
    of_periods = of_gratings.amax(0)  # (n_periods, n_units), at the best orientation
    best = of_periods.argmax(0).expand(spec.n_orientations, 1, -1)
    of_orientations = of_gratings.gather(1, best)[:, 0]  # at the best period
    of_rings = rings.unflatten(0, (-1, 2)).amax(1)  # bright or dark
    return Panel(
        layer.whole,
        {
            "orientations_deg": list(stimuli.orientations_deg),
            "periods_px": list(spec.periods_px),
            "hues_deg": list(stimuli.hues_deg),
            "radii_px": list(spec.radii_px),
            "orientation": _curves(of_orientations),
            "period": _curves(of_periods),
            "hue": _curves(hues),
            "ring": _curves(of_rings),
            "blank": _rounded(blank),
            **_preferred("orientation", of_orientations - blank, stimuli.orientations_deg, 180),
            **_preferred("hue", hues - blank, stimuli.hues_deg, 360),
            "period_px": _strongest(of_periods - blank, spec.periods_px),
            "ring_px": _strongest(of_rings - blank, spec.radii_px),
        },
    )


def _preferred(
    name: str, above: Tensor, angles_deg: tuple[float, ...], cycle_deg: float
) -> dict[str, list[float | None]]:
    """The angle of the average answer on the circle, and its length as a share: 0 to 1.

    Args:
        name: of what is turned.
        above: answers above the blank background, (n_angles, n_units).
        angles_deg: of the rows.
        cycle_deg: after so many degrees things are the same again.
    """
    strength = torch.where(above > LEAST, above, torch.zeros_like(above))
    turns = above.new_tensor(angles_deg) * (2 * torch.pi / cycle_deg)
    total = strength.sum(0)
    east, north = (turns.cos() @ strength) / total, (turns.sin() @ strength) / total
    angle_deg = torch.atan2(north, east) * (cycle_deg / (2 * torch.pi)) % cycle_deg
    return {
        f"{name}_deg": [
            round(value, 1) if known else None
            for value, known in zip(angle_deg.tolist(), (total > 0).tolist(), strict=True)
        ],
        f"{name}_selectivity": [
            round(value, DIGITS) if known else None
            for value, known in zip(
                torch.hypot(east, north).tolist(), (total > 0).tolist(), strict=True
            )
        ],
    }


def _strongest(above: Tensor, values: tuple[int, ...]) -> list[float | None]:
    """Which of the values each unit answers to most, None if to none of them."""
    peak = above.max(0)
    return [
        values[row] if height > LEAST else None
        for height, row in zip(peak.values.tolist(), peak.indices.tolist(), strict=True)
    ]


def _curves(answers: Tensor) -> list[list[float]]:
    """(n, n_units) as a list of n numbers for each unit."""
    return [_rounded(curve) for curve in answers.T]


def _rounded(values: Tensor) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
