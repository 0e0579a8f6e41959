"""Workers as actors of Ray: one for each GPU, or for each group of cores.

Source: Moritz et al. 2018, https://arxiv.org/abs/1712.05889; https://docs.ray.io
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from atlas.cluster import Cluster
from atlas.cluster.messages import Hello, Lost, Made, Message, Order, Saved, Setup, Slice
from atlas.cluster.ray_environment import (
    NO_STATISTICS,
    environment_with,
    key_variables,
    set_environment,
    sigterm_handler_kept,
    visible_devices,
)
from atlas.cluster.resources import (
    Node,
    Resources,
    device_resources,
    n_workers_on,
    node_resources,
)
from atlas.console import say_above
from atlas.errors import AtlasError, DeviceError, SpecError
from atlas.images import ImageSet
from atlas.text import displayable

STORE_BYTES = 200_000_000  # for what is on its way between processes of this machine
MAX_UNREAD = 2  # messages of a worker that wait to be read before it waits
SLICE_BYTES = 8_000_000  # longer messages are sent in slices, so that little is on its way at once
COUNT_EVERY_S = 10.0  # nodes of a cluster
ANSWER_S = 5.0  # in which a cluster must answer
MAX_REASON = 200  # characters
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
CAUSE = re.compile(r"^[\w.]*(?:Error|Exception): .*", re.MULTILINE)  # the last line of a traceback


class RayWorkers:
    """Workers on Ray. Use as a context manager: at its end, all workers end.

    Args:
        cluster: where they run.
        setup: what they need; their devices and threads are filled in.
        images: the photographs, which are sent to the workers that need them.

    Raises:
        SpecError: on entering, Ray is not installed, no cluster answers, or it refuses.
        DeviceError: there is no such device; on entering, Ray cannot start.
    """

    def __init__(self, cluster: Cluster, setup: Setup, images: ImageSet | None) -> None:
        self._ray: Any = None
        self._cluster, self._setup, self._images = cluster, setup, images
        self._devices = device_resources(cluster)  # of this machine; none on a cluster
        self._closing = contextlib.ExitStack()
        self._images_ref: Any = None
        self._counted_s, self._n_wanted = 0.0, 0
        self._numbers = itertools.count(1)
        self._actors: dict[str, Any] = {}
        self._awaited: dict[Any, str] = {}  # sources of messages to be read, and their workers
        self._slices: dict[str, list[bytes]] = {}  # of long messages, by worker
        self._taken: dict[str, Resources] = {}  # by worker

    def __enter__(self) -> RayWorkers:
        with contextlib.ExitStack() as closing:
            # Ray prints what happens to workers on stdout, which is for results.
            closing.enter_context(contextlib.redirect_stdout(sys.stderr))
            closing.enter_context(environment_with(NO_STATISTICS))
            os.environ.update(key_variables(self._cluster))
            self._ray = _import_ray()
            if not self._ray.is_initialized():
                closing.callback(self._ray.shutdown)
                with sigterm_handler_kept():
                    self._connect()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._actors):
            self.end(name)
        self._closing.close()

    def n_wanted(self) -> int:
        """As many workers as the cluster has room for."""
        if self._devices:
            return len(self._devices)
        now_s = time.monotonic()
        if not self._n_wanted or now_s - self._counted_s > COUNT_EVERY_S:
            self._counted_s = now_s
            nodes = self._nodes()
            each = node_resources(self._cluster, nodes)
            self._n_wanted = max(1, sum(n_workers_on(node, each) for node in nodes))
        return self._n_wanted

    def start(self) -> str:
        """Start a worker."""
        taken = self._free_resources()
        name = f"worker {next(self._numbers)}"
        setup = replace(self._setup, device=taken.device, n_threads=taken.n_threads)
        actor_type = self._ray.remote(
            num_cpus=taken.n_cores,
            num_gpus=taken.n_gpus,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )(AtlasWorker)
        actor = actor_type.options(name=f"atlas {os.getpid()} {name}").remote()
        self._actors[name], self._taken[name] = actor, taken
        environment = visible_devices() if self._devices else {}
        ref = actor.get_ready.options(name=f"{name}: load the network").remote(setup, environment)
        self._awaited[ref] = name
        return name

    def give(self, name: str, order: Order) -> None:
        """Have a worker carry out an order."""
        if order.needs_images and self._images_ref is None:
            self._images_ref = self._ray.put(self._images)
        messages = (
            self._actors[name]
            .work.options(
                name=order.title,
                num_returns="streaming",
                _generator_backpressure_num_objects=MAX_UNREAD,
            )
            .remote(order, [self._images_ref] if order.needs_images else [])
        )
        self._awaited[messages] = name

    def poll(self, timeout_s: float) -> Iterator[tuple[str, Message]]:
        """One message of each worker that has sent any.

        Raises:
            AtlasError: a worker cannot get ready for a reason that the user can mend.
        """
        if not self._awaited:
            time.sleep(timeout_s)
            return
        ready, _ = self._ray.wait(list(self._awaited), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = self._ray.wait(
                list(self._awaited), num_returns=len(self._awaited), timeout=0
            )
        for source in ready:
            name = self._awaited.get(source)
            if name is not None and (message := self._read(source, name)):
                yield name, message

    def end(self, name: str) -> None:
        """End a worker at once."""
        self._forget(name)
        actor = self._actors.pop(name, None)
        self._taken.pop(name, None)
        if actor is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself
                self._ray.kill(actor)

    def _read(self, source: Any, name: str) -> Message | None:
        """The next message; None at the end of an order."""
        is_hello = isinstance(source, self._ray.ObjectRef)
        try:
            ref = source if is_hello else next(source)
            message: Message | Slice = self._ray.get(ref)
        except StopIteration:
            del self._awaited[source]
            return None
        except self._ray.exceptions.RayTaskError as error:
            self.end(name)
            if isinstance(error.cause, AtlasError):
                raise error.cause from None
            return Lost(_reason(error.cause or error))
        except self._ray.exceptions.RayError as error:
            self.end(name)
            return Lost(_reason(error))
        if is_hello:
            del self._awaited[source]
        return self._whole(message, name) if isinstance(message, Slice) else message

    def _whole(self, part: Slice, name: str) -> Message | None:
        """The message that a slice is the last of; None if more are to come."""
        slices = self._slices.setdefault(name, [])
        slices.append(part.data)
        if not part.is_last:
            return None
        message: Message = pickle.loads(b"".join(self._slices.pop(name)))
        return message

    def _forget(self, name: str) -> None:
        self._slices.pop(name, None)
        self._awaited = {source: of for source, of in self._awaited.items() if of != name}

    def _connect(self) -> None:
        """Connect to the cluster, or start Ray on this machine.

        Raises:
            SpecError: no cluster answers, or it refuses.
            DeviceError: Ray cannot start, or there is no GPU on this machine.
        """
        address = self._cluster.address
        if address != "local" and self._has_joined(address):
            return
        self._start_here()
        if self._cluster.device == "cuda" and not any(node.get("GPU") for node in self._nodes()):
            raise DeviceError("Ray finds no GPU on this machine; leave --device out")

    def _has_joined(self, address: str) -> bool:
        """Whether a cluster was joined; False if there is none for `auto`.

        Raises:
            SpecError: no cluster answers, or it refuses.
        """
        if address != "auto":
            _refuse_silent(address)
        try:
            self._ray.init(address=address, **QUIET)
        except (ConnectionError, RuntimeError, self._ray.exceptions.RayError) as error:
            if address == "auto" and isinstance(error, ConnectionError):
                reason = _reason(error)
                say_above(f"No Ray cluster can be joined ({reason}); workers run on this machine.")
                return False
            raise SpecError(
                f"the Ray cluster at {displayable(address, 80)} cannot be joined "
                f"({_reason(error)}); it needs the same versions of Ray and Python as this "
                "machine, and the same key (RAY_AUTH_TOKEN or ~/.ray/auth_token)"
            ) from error
        return True

    def _start_here(self) -> None:
        """Start Ray on this machine.

        Raises:
            DeviceError: Ray cannot start.
        """
        try:
            self._ray.init(
                address="local",
                num_cpus=len(self._devices) or None,
                object_store_memory=STORE_BYTES,
                **QUIET,
            )
        except Exception as error:  # Ray raises any kind
            raise DeviceError(
                f"Ray cannot start on this machine ({_reason(error)}); try again, or build with "
                "one device and without --cluster"
            ) from error

    def _nodes(self) -> list[Node]:
        """What the nodes of the cluster have."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _free_resources(self) -> Resources:
        """What the next worker takes: a device that is named and free, or what a node has."""
        taken = list(self._taken.values())
        for device in self._devices:
            if taken.count(device) < self._devices.count(device):
                return device
        return node_resources(self._cluster, self._nodes())


class AtlasWorker:
    """A worker in a process of Ray."""

    def get_ready(self, setup: Setup, environment: Mapping[str, str | None]) -> Hello:
        """Load the network.

        Args:
            setup: what the worker needs.
            environment: variables that say which devices there are, where Ray hides them; None
                for those that are not set.
        """
        set_environment(environment)
        if setup.n_threads:
            os.environ["OMP_NUM_THREADS"] = str(setup.n_threads)
        from atlas.cluster.worker import Worker

        self._worker = Worker(setup)
        self._images: ImageSet | None = None
        return self._worker.hello

    def work(self, order: Order, images_refs: Sequence[Any]) -> Iterator[Message | Slice]:
        """Carry out an order.

        Args:
            order: what to make.
            images_refs: a reference to the photographs, which are fetched once; empty if they are
                not needed.
        """
        if images_refs and self._images is None:
            import ray

            self._images = ray.get(images_refs[0])
        for message in self._worker.work(order, self._images):
            yield from slices_of(message)


def slices_of(message: Message) -> Iterator[Message | Slice]:
    """A message, or a long one in slices."""
    if not isinstance(message, Made | Saved) or message.n_bytes <= SLICE_BYTES:
        yield message
        return
    data = pickle.dumps(message)
    for start in range(0, len(data), SLICE_BYTES):
        end = start + SLICE_BYTES
        yield Slice(data[start:end], end >= len(data))


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise SpecError(
            "several workers need Ray; install it with pip install 'network-atlas[cluster]'"
        ) from error
    return ray


def _reason(error: BaseException) -> str:
    """Why a worker ended, without what Ray says to everybody."""
    text = str(error).partition("\tclass_name:")[0]
    for line in str(error).splitlines():
        if "exit detail" in line:
            text = line.partition("exit detail:")[2]
    if causes := CAUSE.findall(text):
        text = causes[-1]
    return displayable(text, MAX_REASON) or type(error).__name__


def _refuse_silent(address: str) -> None:
    """Refuse an address at which nobody answers; Ray itself would try for minutes.

    Raises:
        SpecError: nobody answers at the address.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise SpecError(
            f"no Ray cluster answers at {displayable(address, 80)}; give HOST:PORT of its head, "
            "or start one with ray start"
        ) from error
