"""The progress bar of a build, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

from atlas.cache import Artifact
from atlas.plan import Plan


@contextmanager
def progress_bar(plan: Plan, speed: float | None) -> Iterator[Progress]:
    """The progress bar of a build, on stderr.

    Args:
        plan: gives the missing artifacts.
        speed: multiply-accumulates per second; None if unknown.
    """
    layout = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"
    with tqdm(
        total=plan.n_missing,
        desc="loading",
        unit=" pictures",
        file=sys.stderr,
        bar_format=layout,
        dynamic_ncols=True,
    ) as bar:
        yield Progress(plan, speed, bar)


class Progress:
    """A tqdm bar over artifacts, with the time left by their costs, as deep layers cost more."""

    def __init__(self, plan: Plan, speed: float | None, bar: tqdm[NoReturn]) -> None:
        self._bar = bar
        self._costs = {key: job.unit_cost for job in plan.missing for key in job.keys}
        self._layers = {key: job.layer.name for job in plan.missing for key in job.keys}
        self._cost_left = plan.missing_cost
        self._speed = speed
        self._last = time.perf_counter()
        self._cost_done = self._seconds_done = 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None until the speed is known."""
        return self._cost_left / self._speed if self._speed else None

    def done(self, artifacts: Sequence[Artifact]) -> None:
        """Count a batch of artifacts that was committed to the cache."""
        cost = sum(self._costs[artifact.key] for artifact in artifacts)
        now = time.perf_counter()
        if cost:  # artifacts of no cost, such as those of one forward pass, do not show the speed
            self._cost_left -= cost
            self._cost_done += cost
            self._seconds_done += now - self._last
            self._speed = self._cost_done / self._seconds_done
        self._last = now
        left = "?" if self.seconds_left is None else tqdm.format_interval(self.seconds_left)
        self._bar.set_description(f"{artifacts[-1].kind} {self._layers[artifacts[-1].key]}", False)
        self._bar.set_postfix_str(f"{left} left", refresh=False)
        self._bar.update(len(artifacts))
