"""Tuning curves: the responses of units to gratings, colours and rings.

Sources: Cammarata et al. 2020, https://distill.pub/2020/circuits/curve-detectors/, for tuning
curves of a network's units; Ringach et al. 2002,
https://doi.org/10.1523/JNEUROSCI.22-13-05639.2002, for selectivity as one minus the circular
variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from atlas.kinds.tuning import TuningRecord, TuningSpec
from atlas.kinds.tuning.stimuli import batches, hues_deg, orientations_deg, stimuli
from atlas.network.channels import as_rgb
from atlas.network.taps import Watch
from atlas.pictures.panel import Panel
from atlas.plan import Job
from atlas.renderer import Renderer

BATCH = 8  # images per batch; all maps of all layers are in memory at once
BORDER = 6  # 1 / BORDER of a map's positions, at each side, is its border, which is left out
LEAST = 0.25  # least response above that to the blank, in sigmas or logits, that is not rounding


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The tuning of all jobs' layers, in one batch."""
    spec = jobs[0].spec
    progress = renderer.one_pass(jobs, spec.n_stimuli, "stimuli")
    # In half precision, a few per cent of the units would get other preferences.
    watch = renderer.network.watch([job.layer for job in jobs])
    yield tuning_panels(watch, spec, progress)


def tuning_panels(
    watch: Watch, spec: TuningSpec, progress: Callable[[int], object] = lambda n_images: None
) -> list[Panel]:
    """The responses of every unit of the watched layers to each stimulus, and its preferences.

    Args:
        watch: reads the layers.
        spec: describes the stimuli.
        progress: called with the number of stimuli in each batch that was shown.

    Returns:
        A panel for each layer.

    Raises:
        NetworkError: a response is not finite.
    """
    # All memory for answers is taken beforehand: if each batch took some, it would lie between the
    # maps of one batch and those of the next, and what was freed could not be used again.
    answers = {
        reader.layer.name: torch.zeros(spec.n_stimuli, reader.layer.n_units, device=watch.device)
        for reader in watch.readers
    }
    images = stimuli(spec, as_rgb(watch.readers[0].image_mean.flatten()))
    n_done = 0
    for batch in batches(images, BATCH):
        for reader, z in watch.sigmas(batch):
            rows = answers[reader.layer.name][n_done : n_done + len(batch)]
            rows.copy_(reader.checked(middle_peaks(z)))
        n_done += len(batch)
        progress(len(batch))
    return [
        Panel(layer.whole, tuning_record(answers[layer.name].cpu(), spec))
        for layer in (reader.layer for reader in watch.readers)
    ]


def middle_peaks(maps: Tensor) -> Tensor:
    """The highest response in the middle of maps: (B, n_units, h, w) -> (B, n_units).

    Receptive fields at the border include padding, and some units respond more to that than to
    any of the stimuli.
    """
    height, width = maps.shape[2:]
    top, left = height // BORDER, width // BORDER
    middle = maps[:, :, top : height - top, left : width - left]
    # Channels last and one axis after the other is ten times as fast as both axes at once.
    return middle.permute(0, 2, 3, 1).amax(1).amax(1).float()


class StimulusAnswers(NamedTuple):
    """Responses of N units, the highest of all phases and of both polarities."""

    gratings: Tensor  # (n_periods, n_orientations, N)
    hues: Tensor  # (n_hues, N)
    rings: Tensor  # (n_radii, N)
    blank: Tensor  # (N,)

    @classmethod
    def of(cls, answers: Tensor, spec: TuningSpec) -> StimulusAnswers:
        """Group the responses to single images in their order, (n_stimuli, N)."""
        gratings, hues, rings, blank = answers.split(spec.counts)
        by_phase = gratings.unflatten(0, (len(spec.periods_px), spec.n_orientations, spec.n_phases))
        by_polarity = rings.unflatten(0, (len(spec.radii_px), 2))
        return cls(by_phase.amax(2), hues, by_polarity.amax(1), blank[0])


def tuning_record(answers: Tensor, spec: TuningSpec) -> TuningRecord:
    """Curves and preferences, from responses (n_stimuli, n_units) in the stimuli's order.

    A unit's orientation curve is taken at the period of its highest response, its period curve at
    the orientation of its highest response. Preferences are computed from what exceeds the
    response to the blank.
    """
    gratings, hues, rings, blank = StimulusAnswers.of(answers, spec)
    units = torch.arange(len(blank))
    orientation = gratings[gratings.amax(1).argmax(0), :, units]  # (N, n_orientations)
    period = gratings[:, gratings.amax(0).argmax(0), units].T  # (N, n_periods)
    to_gratings, to_hues, to_rings = (
        (curve - blank[:, None]).clamp(min=0) for curve in (orientation, hues.T, rings.T)
    )
    orientation_deg, orientation_selectivity = _preferred_angles(to_gratings, 180)
    hue_deg, hue_selectivity = _preferred_angles(to_hues, 360)
    return TuningRecord(
        orientations_deg=orientations_deg(spec),
        periods_px=list(spec.periods_px),
        hues_deg=hues_deg(spec),
        radii_px=list(spec.radii_px),
        orientation=_rounded(orientation),
        period=_rounded(period),
        hue=_rounded(hues.T),
        ring=_rounded(rings.T),
        blank=_rounded(blank),
        orientation_deg=_if_responding(to_gratings, orientation_deg),
        orientation_selectivity=_if_responding(to_gratings, orientation_selectivity),
        period_px=_if_responding(to_gratings, _at_peak(period, spec.periods_px)),
        hue_deg=_if_responding(to_hues, hue_deg),
        hue_selectivity=_if_responding(to_hues, hue_selectivity),
        ring_px=_if_responding(to_rings, _at_peak(rings.T, spec.radii_px)),
    )


def _preferred_angles(above: Tensor, period_deg: int) -> tuple[list[float], list[float]]:
    """The vector average over evenly spaced angles, and the selectivity for it.

    Args:
        above: responses above that to the blank, (N, n_angles).
        period_deg: the period of the angles.

    Returns:
        The average in degrees to one decimal, and one minus the circular variance, within 0..1:
        N of each.
    """
    n_angles = above.shape[1]
    angles_rad = 2 * math.pi * torch.arange(n_angles) / n_angles
    vector = (above * torch.polar(torch.ones(n_angles), angles_rad)).sum(1)
    degrees = _rounded(vector.angle() * period_deg / (2 * math.pi) % period_deg, 1)
    selectivity = _rounded(vector.abs() / above.sum(1).clamp(min=1e-6))
    return [angle % period_deg for angle in degrees], selectivity  # rounding can give period_deg


def _at_peak(curves: Tensor, values: Sequence[int]) -> list[int]:
    return [values[index] for index in curves.argmax(1).tolist()]


def _if_responding(above: Tensor, values: Sequence[Any]) -> list[Any]:
    """The values of the units that respond; None for the others."""
    responding = (above.amax(1) >= LEAST).tolist()
    return [value if responds else None for value, responds in zip(values, responding, strict=True)]


def _rounded(values: Tensor, digits: int = 2) -> list[Any]:
    """A tensor's (N,) or (N, K) values as lists of short numbers."""
    rounded = (values.double() * 10**digits).round() / 10**digits
    lists: list[Any] = (rounded + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
    return lists
