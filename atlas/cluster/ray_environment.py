"""The environment variables and the signals of processes that start Ray, or that Ray starts."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping

from atlas.cluster import Cluster

NO_STATISTICS = {"RAY_USAGE_STATS_ENABLED": "0"}
VISIBLE_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def key_variables(cluster: Cluster) -> dict[str, str]:
    """The key that Ray on this machine asks for, as variables of the environment.

    Others who reach this machine could else give Ray work of their own. Ray reads them when it is
    imported, and again each time it starts, so they stay for as long as this process.
    """
    if cluster.address != "local" or "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ:
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def visible_devices() -> dict[str, str | None]:
    """What older releases of Ray change for actors without a GPU of their own, as it is here.

    Source: https://github.com/ray-project/ray/pull/62492
    """
    return {name: os.environ.get(name) for name in VISIBLE_DEVICES}


@contextlib.contextmanager
def environment_with(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables that this process and those that it starts have inside the context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        set_environment(before)


def set_environment(variables: Mapping[str, str | None]) -> None:
    """Set variables of this process; those that are None are unset."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def sigterm_handler_kept() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces when it starts by one that exits.

    The handler is also called for a SIGTERM that has arrived meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as end:
        if end.code == signal.SIGTERM and callable(handler):
            handler(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)
