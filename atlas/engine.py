"""Batches on a device: their size, out-of-memory, and encoding while the next batch computes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image

from atlas.cache import Artifact
from atlas.errors import DeviceError
from atlas.network import Network, Precision, Tap
from atlas.pictures import fourier, progressive
from atlas.pictures.ascent import finish
from atlas.pictures.filters import filter_pictures
from atlas.pictures.picture import Picture
from atlas.plan import Job
from atlas.spec import FilterImage, Fourier, Progressive, Recipe
from atlas.units import PictureKind, Unit

CPU_BATCH_PX = 16 * 224 * 224  # canvas pixels in flight: about 2 GB with ResNet-50
BYTES_PER_PX = 1500  # of device memory per canvas pixel in flight, deepest layer of ResNet-50
MAX_BATCH = 512
FILTER_BATCH = 512
WEBP_QUALITY = 82


@dataclass(frozen=True)
class Batch:
    """Finished pictures and the time that each took."""

    pictures: list[Picture]
    seconds: float  # per picture


class Engine:
    """Renders jobs on one device and hands out encoded batches, in order.

    Use as a context manager: it owns the encoder's threads.
    """

    def __init__(self, network: Network, n_threads: int = 2) -> None:
        self.network = network
        self.precision = fastest_precision(network.device)
        self._batch_px = batch_pixels(network.device)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="encode")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, jobs: Sequence[Job], commit: Callable[[list[Artifact]], None]) -> None:
        """Render all jobs; `commit` gets each batch once it is encoded, in this thread.

        A batch is encoded while the next one computes. Whatever stops the work, the batch that
        waits is still committed.

        Raises:
            DeviceError: not even one picture fits into memory.
            NetworkError: a score is not finite.
        """
        waiting: list[Future[Artifact]] = []
        try:
            for job in jobs:
                keys = dict(zip(job.units, job.keys, strict=True))
                for batch in self._render(job):
                    encoding = [
                        self._pool.submit(
                            _encode, keys[picture.unit], job.kind, picture, batch.seconds
                        )
                        for picture in batch.pictures
                    ]
                    waiting, ready = encoding, waiting
                    if ready:
                        commit([future.result() for future in ready])
        finally:
            if waiting:
                commit([future.result() for future in waiting])

    def _render(self, job: Job) -> Iterator[Batch]:
        if isinstance(job.spec, FilterImage):
            return self._render_filters(job, job.spec)
        return self._render_recipe(job, job.spec)

    def _render_filters(self, job: Job, spec: FilterImage) -> Iterator[Batch]:
        weights = self.network.weight(job.layer).float().cpu().numpy()
        for first in range(0, len(job.units), FILTER_BATCH):
            units = job.units[first : first + FILTER_BATCH]
            begun = time.perf_counter()
            pictures = filter_pictures(job.layer, weights, units, spec)
            yield Batch(pictures, (time.perf_counter() - begun) / len(units))

    def _render_recipe(self, job: Job, recipe: Recipe) -> Iterator[Batch]:
        fast, exact = self._taps(job)
        waiting = list(job.units)
        while waiting:
            units = waiting[: batch_size(recipe, self._batch_px)]
            begun = time.perf_counter()
            try:
                pictures = render_units(fast, exact, units, recipe)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(units) == 1:
                    raise DeviceError(
                        f"one picture of {job.layer.name} does not fit into the memory of "
                        f"{self.network.device}; use a smaller --preset or another --device"
                    ) from error
                self._halve(len(units), recipe)
                continue
            del waiting[: len(units)]
            yield Batch(pictures, (time.perf_counter() - begun) / len(units))

    def _taps(self, job: Job) -> tuple[Tap, Tap]:
        """One to ascend on, one to measure with; the tutorial's recipe takes no short cuts."""
        exact = self.network.tap(job.layer, "float32")
        if isinstance(job.spec, Progressive):
            return self.network.tap(job.layer), exact
        if self.precision == "float32":
            return exact, exact
        return self.network.tap(job.layer, self.precision), exact

    def _halve(self, n_units: int, recipe: Recipe) -> None:
        """Half the batch from here on, in the layers to come as well."""
        self._batch_px = n_units // 2 * recipe.canvas_px**2
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()


def render_units(fast: Tap, exact: Tap, units: Sequence[Unit], recipe: Recipe) -> list[Picture]:
    """One batch: ascend on the fast tap, measure on the exact one."""
    if isinstance(recipe, Fourier):
        ascent = fourier.ascend(fast, units, recipe)
    else:
        ascent = progressive.ascend(fast, units, recipe)
    return finish(ascent, units, exact)


def batch_size(recipe: Recipe, batch_px: int) -> int:
    """Units per batch: the more, the smaller their largest canvas."""
    return max(1, min(MAX_BATCH, batch_px // recipe.canvas_px**2))


def batch_pixels(device: torch.device) -> int:
    """Canvas pixels that fit on a device at once, as a first guess; out-of-memory corrects it."""
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return int(free_bytes * 0.7 / BYTES_PER_PX)
    return CPU_BATCH_PX


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host, ran out of memory; other errors must not be mistaken."""
    host = "DefaultCPUAllocator: can't allocate memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError) or host


def fastest_precision(device: torch.device) -> Precision:
    """bfloat16 where it pays. Many processors have it and are slower with it, so time it."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu":
        return "float32"
    return (
        "bfloat16"
        if _conv_seconds(torch.bfloat16) < 0.8 * _conv_seconds(torch.float32)
        else "float32"
    )


def find_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes the first GPU, else the processor.

    Raises:
        DeviceError: it is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"no device {name!r} on this machine; there is {', '.join(there)}; "
            "leave --device out to take the best"
        ) from error
    return device


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


def _encode(key: str, kind: PictureKind, picture: Picture, seconds: float) -> Artifact:
    """WebP: lossless for weights, whose flat colours and edges must stay what they are."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture.pixels)
    if kind == "filter":
        image.save(buffer, "WEBP", lossless=True, quality=60, method=2)
    else:
        image.save(buffer, "WEBP", quality=WEBP_QUALITY, method=4)
    return Artifact(
        key=key,
        unit=picture.unit.id,
        kind=kind,
        width_px=image.width,
        height_px=image.height,
        numbers=picture.numbers,
        seconds=round(seconds, 4),
        data=buffer.getvalue(),
    )
