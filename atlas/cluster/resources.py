"""What workers take: a device of this machine, or cores and GPUs of the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from atlas.cluster import ALL_DEVICES, Cluster
from atlas.errors import DeviceError
from atlas.heap import import_torch

CORES_PER_WORKER = 4  # of a processor, where --cores-per-worker does not say it

Node: TypeAlias = Mapping[str, float]  # what a node of a cluster has, by Ray's names


@dataclass(frozen=True)
class Resources:
    """What one worker takes of a machine."""

    device: str
    n_gpus: int  # that Ray reserves for it
    n_cores: int  # of processors, that Ray reserves for it
    n_threads: int | None  # None: as many as suit the device


def device_resources(cluster: Cluster) -> tuple[Resources, ...]:
    """What the worker on each device of this machine takes that was asked for; none on a cluster.

    Raises:
        DeviceError: there is no such device.
    """
    if not cluster.devices:
        return ()
    import_torch()
    from atlas.devices import all_gpus, refuse_missing

    gpus = all_gpus()
    devices = gpus if cluster.devices == (ALL_DEVICES,) else cluster.devices
    if not devices:
        raise DeviceError(
            "there is no GPU on this machine; leave --device out to take the best device"
        )
    for device in dict.fromkeys(devices):
        refuse_missing(device, gpus)
    n_cores = cluster.cores_per_worker or 1
    return tuple(
        Resources(device, 0, 0, n_cores if device == "cpu" else None) for device in devices
    )


def node_resources(cluster: Cluster, nodes: Sequence[Node]) -> Resources:
    """What a worker takes on a cluster: a GPU if there are any, or else some cores."""
    n_cores = cluster.cores_per_worker
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if cluster.device == "cuda" or (cluster.device == "auto" and with_gpus):
        return Resources("cuda", 1, min(n_cores or 0, _most_cores(with_gpus)), None)
    n_cores = min(n_cores or CORES_PER_WORKER, _most_cores(nodes))
    return Resources("cpu" if cluster.device == "auto" else cluster.device, 0, n_cores, n_cores)


def _most_cores(nodes: Sequence[Node]) -> int:
    return max(1, int(max((node.get("CPU", 1) for node in nodes), default=1)))


def n_workers_on(node: Node, each: Resources) -> int:
    """How many workers a node has room for."""
    rooms = [
        int(node.get(name, 0) // n)
        for name, n in (("GPU", each.n_gpus), ("CPU", each.n_cores))
        if n
    ]
    return min(rooms, default=1)
