"""What there is to compute on, and what it is fast in."""

from __future__ import annotations

import platform
import time

import torch

from atlas.errors import DeviceError
from atlas.network.network import Precision
from atlas.pictures.fourier import Canvas, jittered


def find_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes the first GPU that will do, else the processor.

    Raises:
        DeviceError: it is not there, or lacks what an ascent needs.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        mac = torch.device("mps")
        usable = torch.backends.mps.is_available() and what_it_lacks(mac) is None
        return mac if usable else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"no device {name!r} on this machine; there is {', '.join(there)}; "
            "leave --device out to take the best"
        ) from error
    if missing := what_it_lacks(device):
        raise DeviceError(
            f"{name} cannot do what pictures need ({missing}); use --device cpu, or newer PyTorch"
        )
    return device


def what_it_lacks(device: torch.device) -> str | None:
    """What keeps an ascent from working on a device: None if nothing does.

    PyTorch has fewer operations on a Mac's GPU than elsewhere: for a long time, no gradient of the
    jitter. Source: https://github.com/pytorch/pytorch/issues/141287
    """
    try:
        canvas = Canvas.of(8, 1.0, device)
        spectrum = torch.zeros(1, 3, 8, 5, 2, device=device, requires_grad=True)
        optimiser = torch.optim.Adam([spectrum], fused=True)
        seen = jittered(canvas.image(spectrum), torch.zeros(1, 4, device=device), 8)
        torch.nn.functional.max_pool2d(seen, 2).sum().backward()
        optimiser.step()
    except RuntimeError as error:  # not implemented is one of these
        return str(error).partition(".")[0]
    return None


def fastest_precision(device: torch.device) -> Precision:
    """bfloat16 where it pays. Many processors have it and are slower with it, so time it.

    Older GPUs only imitate it; those that have it are of compute capability 8.0 and above.
    """
    if device.type == "cuda":
        has_it = torch.cuda.get_device_capability(device) >= (8, 0)
        return "bfloat16" if has_it else "float32"
    if device.type != "cpu":
        return "float32"
    return (
        "bfloat16"
        if _conv_seconds(torch.bfloat16) < 0.8 * _conv_seconds(torch.float32)
        else "float32"
    )


def describe_device(device: torch.device) -> str:
    """`NVIDIA H100 80GB HBM3`, or `x86_64, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def wait(device: torch.device) -> None:
    """Return when a device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _conv_seconds(dtype: torch.dtype, n_runs: int = 5) -> float:
    """Best time of a middling convolution."""
    images = torch.randn(8, 128, 28, 28, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    times = []
    for _ in range(n_runs + 1):
        begun = time.perf_counter()
        torch.conv2d(images, weight, padding=1)
        times.append(time.perf_counter() - begun)
    return min(times[1:])
