"""What a worker does: it holds the network, and makes what it is told as one process does.

It knows nothing of how it is told, and of how what it says is sent.
"""

from __future__ import annotations

import os
import platform
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from atlas import __version__
from atlas.cache import Artifact, Checkpoint, Entry
from atlas.cluster.messages import (
    Advanced,
    Begun,
    Broken,
    Finished,
    Hello,
    Made,
    Message,
    Order,
    Saved,
    Setup,
    Surveyed,
)
from atlas.devices import describe_device, fastest_precision, find_device
from atlas.engine import Engine
from atlas.errors import AtlasError, CacheError, DeviceError, NetworkError, SpecError
from atlas.families import find_family
from atlas.images import ImageSet
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.observer import Observer
from atlas.pass_parts import PartSpec
from atlas.renderer import survey
from atlas.text import displayable

N_UNSENT = 2  # batches that wait to be sent before the work waits for them
STEPS_EVERY_S = 1.0  # reports of steps
MAX_REASON = 300  # characters
OF_UNITS = (NetworkError, DeviceError)  # errors that concern some units rather than everything


class Worker:
    """Makes artifacts with a network that it loads.

    Attributes:
        hello: what it is.

    Raises:
        AtlasError: the network cannot be loaded, is another one, there is no such device, or this
            package has another version than that of the build.
    """

    def __init__(self, setup: Setup) -> None:
        _refuse_other_version(setup.version)
        if Path(setup.folder).is_dir():
            os.chdir(setup.folder)
        self._n_threads = setup.n_threads
        self._set_threads()
        network = _load(setup)
        self.hello = Hello(
            describe_device(network.device),
            network.usable(fastest_precision(network.device)),
            platform.node(),
        )
        self._outbox = _Outbox()
        self._sent_artifacts = _SentArtifacts(self._outbox)
        self._network = network
        self._engine: Engine | None = None

    def work(self, order: Order, images: ImageSet | None = None) -> Iterator[Message]:
        """Make what is ordered, and report what is done; the last message is Finished or Broken.

        Args:
            order: what to make.
            images: the photographs, if the order needs them.
        """
        # Messages must not wait for the work, nor the work for messages.
        thread = threading.Thread(target=self._carry_out, args=(order, images), daemon=True)
        thread.start()
        while True:
            message = self._outbox.next()
            yield message
            if isinstance(message, Finished | Broken):
                thread.join()
                return

    def _carry_out(self, order: Order, images: ImageSet | None) -> None:
        try:
            self._set_threads()  # PyTorch keeps their number for each thread
            self._make(order, images)
        except BaseException as error:
            self._outbox.put(self._broken(error))
        else:
            self._outbox.put(Finished())

    def _make(self, order: Order, images: ImageSet | None) -> None:
        engine = self._engine = self._engine or self._new_engine(order)
        engine.renderer.images = images
        if order.is_survey:
            cuts = tuple(survey(engine.renderer, job) if job.steps else None for job in order.jobs)
            self._outbox.put(Surveyed(cuts))
            return
        self._sent_artifacts.order = order
        engine.run(order.jobs, self._outbox.send)

    def _new_engine(self, order: Order) -> Engine:
        return Engine(self._network, self._sent_artifacts, None, self._outbox, order.precision)

    def _broken(self, error: BaseException) -> Broken:
        is_known = isinstance(error, AtlasError)
        text = str(error) if is_known else f"{type(error).__name__}: {error}"
        asked = error if isinstance(error, AtlasError) and not isinstance(error, OF_UNITS) else None
        is_sound = is_known or self._network.device.type == "cpu"  # CUDA's errors stay
        return Broken(displayable(text, MAX_REASON), asked, is_sound)

    def _set_threads(self) -> None:
        if self._n_threads:
            torch.set_num_threads(self._n_threads)


def _refuse_other_version(version: str) -> None:
    """Refuse a build by another version of this package, which may make other bytes.

    Raises:
        SpecError: the build has another version.
    """
    if version != __version__:
        raise SpecError(
            f"{platform.node()} has version {__version__} of network-atlas and the build has "
            f"{displayable(version, 20)}; install the same on all nodes"
        )


def _load(setup: Setup) -> Network:
    """The network, if it is the one that the driver means.

    Raises:
        AtlasError: it cannot be loaded, or it is another one.
    """
    try:
        device = find_device(setup.device)
    except DeviceError as error:
        raise DeviceError(f"{platform.node()}: {error}") from error
    family = find_family(setup.asked.family, setup.families)
    network = load_network(setup.asked, family, setup.families, device)
    if network.facts.identity != setup.identity:
        raise NetworkError(
            f"the worker on {platform.node()} has loaded other weights than the build; give a file "
            "that is the same on all machines"
        )
    network.prepare()
    return network


class _Outbox(Observer):
    """What waits to be sent; steps are added up, so that there are few messages of them."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Message] = queue.Queue(N_UNSENT)
        self._cost, self._told_s = 0.0, time.monotonic()

    def next(self) -> Message:
        """Wait for the next message."""
        return self._waiting.get()

    def put(self, message: Message) -> None:
        """Say something, and before that how many steps were done."""
        if self._cost:
            self._put_steps()
        self._waiting.put(message)

    def send(self, artifacts: list[Artifact]) -> None:
        """Send a finished batch."""
        self.put(Made(tuple(artifacts)))

    def begin(self, kind: str, layer: str = "") -> None:
        """Work on artifacts of a kind begins."""
        self.put(Begun(kind, layer))

    def advance(self, cost: float, *, is_new: bool = True) -> None:
        """Some work is done."""
        if not is_new:
            self.put(Advanced(cost, is_new=False))
            return
        self._cost += cost
        if time.monotonic() - self._told_s > STEPS_EVERY_S:
            self._put_steps()

    def _put_steps(self) -> None:
        """Say how many steps were done since the last time."""
        self._waiting.put(Advanced(self._cost, is_new=True))
        self._cost, self._told_s = 0.0, time.monotonic()


class _SentArtifacts:
    """In place of the cache, what was sent with an order."""

    def __init__(self, outbox: _Outbox) -> None:
        self.order: Order | None = None
        self._outbox = outbox

    def entries(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The entries of finished artifacts among `keys`, by key."""
        found = self.order.entries if self.order else {}
        return {key: found[key] for key in keys if key in found}

    def read(self, key: str) -> bytes:
        """The bytes of a finished artifact.

        Raises:
            CacheError: they were not sent.
        """
        if self.order is None or key not in self.order.data:
            raise CacheError(f"artifact {key[:12]} was not sent to the worker; build without it")
        return self.order.data[key]

    def checkpoint(self, _key: str) -> Checkpoint | None:
        """What an interrupted pass had done, and where its state goes.

        None for parts of a pass, which are short and made anew if they are interrupted.
        """
        if self.order and any(isinstance(job.spec, PartSpec) for job in self.order.jobs):
            return None
        return _Relay(self.order.checkpoint if self.order else None, self._outbox)


class _Relay(Checkpoint):
    """A checkpoint that the driver keeps, and drops when the artifacts are in the cache."""

    def __init__(self, data: bytes | None, outbox: _Outbox) -> None:
        self._data, self._outbox = data, outbox

    def save(self, data: bytes) -> None:
        """Send the state."""
        self._outbox.put(Saved(data))

    def load(self) -> bytes | None:
        """The state that came with the order."""
        return self._data

    def drop(self) -> None:
        """Nothing: the driver does it."""
