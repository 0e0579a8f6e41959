"""How far a build has got, and how long the rest will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from atlas.cache import Artifact
from atlas.observer import Observer
from atlas.plan import Plan, artifact_costs
from atlas.progress import View, interval
from atlas.text import displayable

HALF_LIFE_S = 20.0  # after which a measured speed counts half; later in a build it counts longer
LASTING_SHARE = 0.5  # of the time measured so far, if that is longer
FIRST_ESTIMATE_S = 5.0  # measured time before the time left is said
EARLIER_S = 10.0  # as so many seconds counts the speed of an earlier build


class Speed:
    """MACs per second, mostly those of the last time.

    Args:
        earlier: the speed of an earlier build; None if unknown.
    """

    def __init__(self, earlier: float | None) -> None:
        self._seconds = EARLIER_S if earlier else 0.0
        self._cost = (earlier or 0.0) * EARLIER_S
        self._measured_s = 0.0
        self._has_earlier = bool(earlier)

    def add(self, cost: float, seconds: float) -> None:
        """Count some work and the time that it took."""
        self._measured_s += seconds
        keep = 0.5 ** (seconds / max(HALF_LIFE_S, LASTING_SHARE * self._measured_s))
        self._cost = keep * self._cost + cost
        self._seconds = keep * self._seconds + seconds

    @property
    def macs_per_s(self) -> float | None:
        """The speed; None until enough was measured."""
        is_known = self._has_earlier or self._measured_s >= FIRST_ESTIMATE_S
        return self._cost / self._seconds if is_known and self._cost > 0 else None


class Making(Observer):
    """Counts the work on the missing artifacts of a plan, step by step, and shows it.

    What steps report is provisional: when artifacts are finished, their own costs count instead.

    Args:
        plan: gives the missing artifacts.
        earlier_speed: MACs per second of an earlier build; None if unknown.
        view: shows it.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        plan: Plan,
        earlier_speed: float | None,
        view: View,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._view, self._clock = view, clock
        self._costs = artifact_costs(plan.missing)
        self._rated = {
            (job.kind.name, job.layer.name): job.unit_cost for job in plan.missing if job.steps
        }
        self._left_of = Counter({job.kind.name: 0 for job in plan.missing})
        self._left_of.update(job.kind.name for job in plan.missing for _ in job.keys)
        self._n_of = Counter(self._left_of)
        self._total = sum(self._costs.values())
        self._done = 0.0  # cost of finished artifacts
        self._reported = 0.0  # cost of work on artifacts that are not finished
        self._n_done = 0
        self._speed = Speed(earlier_speed)
        self._last = clock()
        self._at = ("", "")  # kind and layer

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None until the speed is known."""
        speed = self._speed.macs_per_s
        return max(0.0, self._total - self._done - self._reported) / speed if speed else None

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        if not self._total:
            return self._n_done / max(1, len(self._costs))
        return max(0.0, min(1.0, (self._done + self._reported) / self._total))

    def begin(self, kind: str, layer: str = "") -> None:
        """Work on artifacts of a kind begins."""
        self._at = kind, layer
        self._show()

    def advance(self, cost: float, *, is_new: bool = True) -> None:
        """Some work on artifacts is done that are not finished yet."""
        self._reported += cost
        seconds = self._lap()
        if is_new:
            self._speed.add(cost, seconds)
        self._show()

    def done(self, artifacts: Sequence[Artifact]) -> None:
        """Artifacts are finished, and kept by the cache.

        Of parts of passes that are not in the plan, steps count until the whole is finished.
        """
        artifacts = [artifact for artifact in artifacts if artifact.key in self._costs]
        cost = sum(self._costs[artifact.key] for artifact in artifacts)
        unreported = max(0.0, cost - self._reported)
        self._reported = max(0.0, self._reported - cost)
        self._done += cost
        self._n_done += len(artifacts)
        seconds = self._lap()
        if cost:  # what has no known cost does not show the speed
            self._speed.add(unreported, seconds)
        self._show()
        self._tell_of_finished(artifacts)

    def _lap(self) -> float:
        """Seconds since the last report."""
        before, self._last = self._last, self._clock()
        return self._last - before

    def _tell_of_finished(self, artifacts: Sequence[Artifact]) -> None:
        for kind, n in Counter(artifact.kind for artifact in artifacts).items():
            self._left_of[kind] -= n
            if not self._left_of[kind]:
                self._view.tell(f"{kind} done, {self._n_of[kind]:,}; {self._words}")

    def _show(self) -> None:
        name = displayable(" ".join(part for part in self._at if part))
        self._view.show(name, self.share, self._words)

    @property
    def _words(self) -> str:
        speed, left_s = self._speed.macs_per_s, self.seconds_left
        unit_cost = self._rated.get(self._at)
        rate = f", {speed / unit_cost:.2g} pictures/s" if speed and unit_cost else ""
        left = "time left not known yet" if left_s is None else f"{interval(left_s)} left"
        return f"{self._n_done:,} of {len(self._costs):,}{rate}, {left}"
