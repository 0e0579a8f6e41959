"""What the driver and its workers tell each other: plain data that can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from atlas import __version__
from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Entry
from atlas.cutting import Cut
from atlas.errors import AtlasError
from atlas.families.family import Family
from atlas.plan import Job

if TYPE_CHECKING:
    from atlas.network.network import Precision


@dataclass(frozen=True)
class Setup:
    """All that a worker needs to get ready."""

    asked: AtlasSpec
    families: tuple[Family, ...]
    identity: str  # of the network that it must load
    folder: str  # in which relative paths begin, where it exists
    device: str = "cpu"
    n_threads: int | None = None  # for a processor; None: as the device likes
    version: str = __version__  # of this package, which the worker must have as well


@dataclass(frozen=True)
class Hello:
    """What a worker is, once it is ready."""

    device: str  # in words
    precision: Precision  # the fastest there
    node: str  # name of its machine


@dataclass(frozen=True)
class Order:
    """What a worker is to make, with what that is made from."""

    jobs: tuple[Job, ...]
    precision: Precision
    title: str  # in words
    is_survey: bool = False  # only say how the jobs are cut into batches
    entries: Mapping[str, Entry] = field(default_factory=dict)  # of sources, by key
    data: Mapping[str, bytes] = field(default_factory=dict)  # of sources, by key
    checkpoint: bytes | None = None  # what an interrupted pass had done
    needs_images: bool = False


@dataclass(frozen=True)
class Begun:
    """A worker works on a kind, for a layer or for several together."""

    kind: str
    layer: str


@dataclass(frozen=True)
class Advanced:
    """Some work is done on artifacts that are not finished."""

    cost: float  # in multiply-accumulates
    is_new: bool


@dataclass(frozen=True)
class Made:
    """Artifacts are finished and encoded."""

    artifacts: tuple[Artifact, ...]

    @property
    def n_bytes(self) -> int:
        """About how many bytes it has."""
        return sum(len(artifact.data) for artifact in self.artifacts)


@dataclass(frozen=True)
class Saved:
    """The state of a long pass, to go on from."""

    data: bytes

    @property
    def n_bytes(self) -> int:
        """About how many bytes it has."""
        return len(self.data)


@dataclass(frozen=True)
class Slice:
    """Some of the bytes of a long message, in order."""

    data: bytes
    is_last: bool


@dataclass(frozen=True)
class Surveyed:
    """How each job is cut into batches; None for one that is not."""

    cuts: tuple[Cut | None, ...]


@dataclass(frozen=True)
class Broken:
    """The work on an order ended with an error."""

    reason: str
    error: AtlasError | None = None  # an error that the user can mend
    is_sound: bool = True  # whether the worker can go on with other work


@dataclass(frozen=True)
class Finished:
    """An order is done."""


@dataclass(frozen=True)
class Lost:
    """A worker is gone."""

    reason: str


Message: TypeAlias = "Hello | Begun | Advanced | Made | Saved | Surveyed | Broken | Finished | Lost"
