"""Kinds and images that bring trouble to the process that works on them, for tests of workers."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.decoding import Skipped
from atlas.images import ImageSet, ImagesOf
from atlas.kinds.kind import EachUnit, Kind
from atlas.lazily import load
from atlas.observer import Observer
from atlas.pixels import Pixels
from atlas.records import value
from atlas.units import Layer, NetworkFacts, Preprocessing

FOLDER_VARIABLE = "ATLAS_TEST_TROUBLE"  # names the folder for marks of what has happened once
DEADLY_LAYER = "layer1.0.conv2"
AFTER_STEPS = 5


@dataclass(frozen=True)
class TroubledSpec:
    name: ClassVar[str] = "troubled"
    version: ClassVar[int] = 1

    poisoned: tuple[str, ...] = ()  # ids of units that cannot be made
    deadly: tuple[str, ...] = ()  # that kill their process the first time
    sleepy: tuple[str, ...] = ()  # that sleep forever the first time
    folder: str = ""  # for marks of what has happened once


@dataclass(frozen=True)
class TroubledRecord:
    index: int = value("index of the unit")


def first_time(folder: str, name: str) -> bool:
    """Whether something happens for the first time, in any process."""
    try:
        (Path(folder) / name.replace(":", " ").replace("/", " ")).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def make(renderer: Any, jobs: Sequence[Any]) -> Iterator[list[Any]]:
    from atlas.pictures.panel import Panel

    for job in jobs:
        for unit in job.units:
            spec: TroubledSpec = job.spec
            if unit.id in spec.poisoned:
                raise RuntimeError("poison")
            if unit.id in spec.deadly and first_time(spec.folder, unit.id):
                die()
            if unit.id in spec.sleepy and first_time(spec.folder, unit.id):
                time.sleep(1e6)
            yield [Panel(unit, TroubledRecord(unit.index))]


def _given(spec: TroubledSpec, _a: AtlasSpec, _l: Layer, _f: NetworkFacts) -> TroubledSpec:
    return spec


def _cost(_spec: TroubledSpec, _layer: Layer, _facts: NetworkFacts, _n: int) -> Cost:
    return Cost(each=1e6)


def troubled_kind(spec: TroubledSpec) -> Kind[TroubledRecord]:
    return Kind(
        name="troubled",
        about="what brings trouble",
        scope=EachUnit(),
        spec=functools.partial(_given, spec),
        record=TroubledRecord,
        make="troubled:make",
        cost=_cost,
        folder=Path(__file__).parent,
    )


class Deadly(Observer):
    """Kills its process after some steps, the first time."""

    def __init__(self, other: Observer) -> None:
        self._other, self._n_steps = other, 0

    def begin(self, kind: str, layer: str = "") -> None:
        self._other.begin(kind, layer)

    def advance(self, cost: float, *, is_new: bool = True) -> None:
        self._n_steps += 1
        if self._n_steps > AFTER_STEPS and first_time(os.environ[FOLDER_VARIABLE], "step"):
            die()
        self._other.advance(cost, is_new=is_new)


def make_deadly(renderer: Any, jobs: Sequence[Any]) -> Iterator[Any]:
    """What the kind `excitatory` makes, but the first time it ends in the middle of a batch."""
    observer = renderer.observer
    if any(job.layer.name == DEADLY_LAYER for job in jobs):
        renderer.observer = Deadly(observer)
    try:
        yield from load("atlas.kinds.excitatory.make:make")(renderer, jobs)
    finally:
        renderer.observer = observer


class DeadlyImages(ImagesOf):
    """Images of another set; reading one in the middle kills the process, the first time."""

    def __init__(self, images: ImageSet, folder: str) -> None:
        super().__init__(images)
        self._folder = folder

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | Skipped:
        is_middle = file == self.files[len(self.files) // 2]
        if is_middle and first_time(self._folder, "image"):
            die()
        return super().load(file, preprocessing)
