"""Workers on many devices and machines that make the artifacts of one atlas.

The driver, which is the process that was started, plans, hands out batches, writes the cache and
the site. Workers load the network and send encoded artifacts back.

`scheduling.py` decides who makes what, `engine.py` carries that out, `worker.py` is what a worker
does, `messages.py` is what they send each other, `keeping.py` writes the cache beside the rest, and
`ray_workers.py` runs workers on Ray, `resources.py` says what each takes, and `ray_environment.py`
has the variables and signals of their processes. Nothing imports Ray unless workers are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import SpecError

ALL_DEVICES = "all"
PATIENCE_S = 600.0  # without a message of a worker before it counts as hung


@dataclass(frozen=True)
class Cluster:
    """Where workers run, and on what.

    Raises:
        SpecError: what is asked for contradicts itself.
    """

    address: str = "local"  # of a Ray cluster; auto: one that is running, else this machine
    device: str = "auto"  # of each worker
    devices: tuple[str, ...] = ()  # of this machine, a worker for each; empty: see `address`
    cores_per_worker: int | None = None  # None: as many as suit the device
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        if self.address.startswith("ray://"):
            raise SpecError(
                f"--cluster {self.address} is for Ray's client; start the build on the cluster, "
                "with ray job submit"
            )
        if self.devices and self.address != "local":
            raise SpecError(
                "several devices are those of this machine; leave out --cluster, or --device"
            )
        if self.device.startswith("cuda:"):
            raise SpecError(
                f"--device {self.device} is one GPU of this machine, and with --cluster Ray "
                "chooses; give --device cuda, or leave out --cluster"
            )


def devices_named(device: str) -> tuple[str, ...]:
    """The devices that --device names; none where it is all of this machine."""
    names = tuple(name.strip() for name in device.split(",") if name.strip())
    return () if names == (ALL_DEVICES,) else names or (device,)


def cluster_of(address: str | None, device: str, cores_per_worker: int | None) -> Cluster | None:
    """The workers that the options of the command ask for; None if this process makes everything.

    Args:
        address: what is given with --cluster.
        device: what is given with --device: one device, several, or all of this machine.
        cores_per_worker: what is given with --cores-per-worker.

    Raises:
        SpecError: the options contradict each other.
    """
    devices = devices_named(device)
    if len(devices) > 1 or not devices:
        devices = devices or (ALL_DEVICES,)
        return Cluster(address or "local", "", devices, cores_per_worker)
    if address is None:
        if cores_per_worker is not None:
            raise SpecError("--cores-per-worker is for workers; give --cluster with it")
        return None
    return Cluster(address, device, (), cores_per_worker)
