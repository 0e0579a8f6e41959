"""Find the device to compute on, and the precision in which it is fastest."""

from __future__ import annotations

import functools
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from atlas.errors import DeviceError
from atlas.memory import is_out_of_memory, too_little
from atlas.network.network import Precision
from atlas.pictures.fourier import Canvas, jittered


def find_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes the first GPU that supports ascents, else the CPU.

    Raises:
        DeviceError: the device does not exist, or does not support an ascent.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        mac = torch.device("mps")
        usable = torch.backends.mps.is_available() and what_it_lacks(mac) is None
        return mac if usable else torch.device("cpu")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            device = torch.device(name)
            torch.zeros(1, device=device).item()
    except Exception as error:  # PyTorch raises any kind for the backends that it is built without
        if too_little(error):
            raise
        raise _no_device(name, all_gpus()) from error
    if missing := what_it_lacks(device):
        raise DeviceError(
            f"{name} cannot do what pictures need ({missing}); use --device cpu, or newer PyTorch"
        )
    return device


def all_gpus() -> tuple[str, ...]:
    """The names of all GPUs of this machine that PyTorch can use by number."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def refuse_missing(name: str, gpus: Sequence[str]) -> None:
    """Refuse a device that is not there.

    GPUs are only looked up by name, since some let in one process alone, which must be a worker.

    Args:
        name: of the device.
        gpus: the names of all GPUs of this machine.

    Raises:
        DeviceError: it does not exist, or it is no GPU and does not support an ascent.
    """
    if not name.startswith("cuda"):
        find_device(name)
    elif not gpus or name not in ("cuda", *gpus):
        raise _no_device(name, gpus)


def _no_device(name: str, gpus: Sequence[str]) -> DeviceError:
    return DeviceError(
        f"no device {name!r} on this machine; there is {', '.join(['cpu', *gpus])}; "
        "leave --device out to take the best"
    )


def what_it_lacks(device: torch.device) -> str | None:
    """The error message of an ascent that fails on a device; None if it works.

    PyTorch supports fewer operations on a Mac's GPU than elsewhere: for a long time, it had no
    gradient of `jittered`. Source: https://github.com/pytorch/pytorch/issues/141287
    """
    try:
        canvas = Canvas.of(8, 1.0, device)
        spectrum = torch.zeros(1, 3, 8, 5, 2, device=device, requires_grad=True)
        optimiser = torch.optim.Adam([spectrum], fused=True)
        images = jittered(canvas.image(spectrum), torch.zeros(1, 4, device=device), 8)
        torch.nn.functional.max_pool2d(images, 2).sum().backward()
        optimiser.step()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return str(error).partition(".")[0]
    return None


def fastest_precision(device: torch.device) -> Precision:
    """`bfloat16` where it is clearly faster than `float32`, else `float32`.

    Many CPUs support bfloat16 but are slower with it, so a CPU is timed. GPUs support it from
    compute capability 8.0 on; older ones only emulate it.
    """
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.get_device_capability(device) >= (8, 0)
        return "bfloat16" if has_bfloat16 else "float32"
    if device.type != "cpu":
        return "float32"
    return _precision_of_cpu()


def describe_device(device: torch.device) -> str:
    """A device's name, such as `NVIDIA H100 80GB HBM3` or `x86_64, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def wait(device: torch.device) -> None:
    """Wait until a device has finished all work that is queued on it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@functools.cache  # a process stays on its computer
def _precision_of_cpu() -> Precision:
    seconds = _conv_seconds((torch.bfloat16, torch.float32))
    return "bfloat16" if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else "float32"


def _conv_seconds(dtypes: Sequence[torch.dtype], n_runs: int = 8) -> dict[torch.dtype, float]:
    """Shortest CPU time of a medium-sized convolution in each type, on one thread.

    Unlike the time that passes, it hardly depends on what else the computer does, so that the same
    precision is chosen in every run: pictures made in another one differ slightly.
    """
    tensors = {dtype: _conv_tensors(dtype) for dtype in dtypes}
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    with _on_one_thread():
        for _ in range(n_runs + 1):
            for dtype, (images, weight) in tensors.items():
                started = time.thread_time()
                torch.conv2d(images, weight, padding=1)
                times[dtype].append(time.thread_time() - started)
    return {dtype: min(each[1:]) for dtype, each in times.items()}


@contextmanager
def _on_one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _conv_tensors(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.ones(8, 128, 28, 28, dtype=dtype)  # (B, C, H, W)
    weight = torch.ones(128, 128, 3, 3, dtype=dtype)
    channels_last = torch.channels_last
    return images.to(memory_format=channels_last), weight.to(memory_format=channels_last)
