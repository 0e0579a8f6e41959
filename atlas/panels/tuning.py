"""What units answer to gratings, colours and rings."""

from __future__ import annotations

from collections.abc import Callable

from atlas.panels.panel import Panel
from atlas.spec import Tuning
from atlas.taps import Watch


def n_stimuli(spec: Tuning) -> int:
    """Images that `tuning_panels` shows."""
    raise NotImplementedError


def tuning_panels(
    watch: Watch, spec: Tuning, progress: Callable[[int], object] = lambda n_images: None
) -> list[Panel]:
    """For each watched layer, what every unit answers to each stimulus."""
    raise NotImplementedError
