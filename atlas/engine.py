"""Batches on a device: their size, out-of-memory, and encoding while the next batch computes."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from atlas.cache import Artifact
from atlas.errors import DeviceError
from atlas.heap import keep_freed_memory
from atlas.network import Network, Precision
from atlas.panels.natural import natural_panels
from atlas.panels.noise import noise_panel
from atlas.panels.panel import Panel
from atlas.photographs import Photographs
from atlas.pictures.ascent import centre_response, finish, layer_response, responses
from atlas.pictures.filters import filter_pictures
from atlas.pictures.picture import Picture
from atlas.pictures.recipes import ascend
from atlas.pictures.twins import twin_pictures
from atlas.plan import Job
from atlas.spec import SMALL_PX, FilterImage, Fourier, Natural, Noise, Progressive, Recipe, Twin
from atlas.taps import Tap
from atlas.units import Kind, Layer, Unit

CPU_BATCH_PX = 16 * 224 * 224  # canvas pixels in flight: about 2 GB with ResNet-50
BYTES_PER_PX = 1500  # of device memory per canvas pixel in flight, deepest layer of ResNet-50
MAX_BATCH = 512
FILTER_BATCH = 512
WEBP_QUALITY = 78


@dataclass(frozen=True)
class Batch:
    """Finished pictures or panels, and the time that each took."""

    parts: Sequence[Picture | Panel]
    seconds: float  # per part


class Engine:
    """Works on jobs on one device and hands out encoded batches, in order.

    Use as a context manager: it owns the encoder's threads.
    """

    def __init__(
        self, network: Network, photographs: Photographs | None = None, n_threads: int = 2
    ) -> None:
        self.network = network
        self.photographs = photographs
        if network.device.type == "cpu":
            keep_freed_memory()
        self.precision = fastest_precision(network.device)
        self._batch_px = batch_pixels(network.device)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="encode")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, jobs: Sequence[Job], commit: Callable[[list[Artifact]], None]) -> None:
        """Make all jobs' artifacts; `commit` gets each batch once it is encoded, in this thread.

        A batch is encoded while the next one computes. Whatever stops the work, the batch that
        waits is still committed.

        Raises:
            DeviceError: not even one picture fits into memory.
            NetworkError: a score is not finite.
        """
        keys = {(job.kind, unit): key for job in jobs for unit, key in job.keyed}
        waiting: list[Future[Artifact]] = []
        try:
            for kind, of_kind in groupby(jobs, lambda job: job.kind):
                for batch in self._make(kind, list(of_kind)):
                    encoding = [
                        self._pool.submit(_encode, keys[kind, part.unit], kind, part, batch.seconds)
                        for part in batch.parts
                    ]
                    waiting, ready = encoding, waiting
                    if ready:
                        commit([future.result() for future in ready])
        finally:
            if waiting:
                commit([future.result() for future in waiting])

    def _make(self, kind: Kind, jobs: list[Job]) -> Iterator[Batch]:
        if kind == "natural":  # the photographs pass by once, for all layers
            yield self._natural([job.layer for job in jobs])
            return
        for job in jobs:
            match job.spec:
                case FilterImage():
                    yield from self._filters(job, job.spec)
                case Noise():
                    yield self._noise(job, job.spec)
                case Fourier() | Progressive() | Twin():
                    yield from self._pictures(job, job.spec)
                case Natural():
                    raise AssertionError("photographs are shown to all layers at once")

    def _filters(self, job: Job, spec: FilterImage) -> Iterator[Batch]:
        weights = self.network.weight(job.layer).float().cpu().numpy()
        for first in range(0, len(job.units), FILTER_BATCH):
            units = job.units[first : first + FILTER_BATCH]
            begun = time.perf_counter()
            pictures = filter_pictures(job.layer, weights, units, spec)
            yield _timed(pictures, begun)

    def _noise(self, job: Job, spec: Noise) -> Batch:
        begun = time.perf_counter()
        n_images = max(1, min(spec.n_images, self._batch_px // spec.size_px**2))
        panel = noise_panel(self.network.tap(job.layer, "float32"), spec, n_images)
        return _timed([panel], begun)

    def _natural(self, layers: Sequence[Layer]) -> Batch:
        assert self.photographs, "the plan asks for this kind with photographs only"
        begun = time.perf_counter()
        size_px = self.network.facts.input_size_px
        with tqdm(
            total=len(self.photographs.files),
            desc="photographs",
            unit=" images",
            file=sys.stderr,
            leave=False,
        ) as bar:
            panels = natural_panels(
                self.network.watch(layers), self.photographs, size_px, progress=bar.update
            )
        return _timed(panels, begun)

    def _pictures(self, job: Job, spec: Recipe | Twin) -> Iterator[Batch]:
        fast, exact = self._taps(job.layer, spec)
        waiting = list(job.units)
        while waiting:
            units = waiting[: batch_size(spec, self._batch_px)]
            begun = time.perf_counter()
            try:
                pictures = render_units(fast, exact, units, spec)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(units) == 1:
                    raise DeviceError(
                        f"one picture of {job.layer.name} does not fit into the memory of "
                        f"{self.network.device}; use a smaller --preset or another --device"
                    ) from error
                self._halve(len(units), spec)
                continue
            del waiting[: len(units)]
            yield _timed(pictures, begun)

    def _taps(self, layer: Layer, spec: Recipe | Twin) -> tuple[Tap, Tap]:
        """One to ascend on, one to measure with; the tutorial's recipe takes no short cuts."""
        exact = self.network.tap(layer, "float32")
        recipe = spec.first if isinstance(spec, Twin) else spec
        if isinstance(recipe, Progressive):
            return self.network.tap(layer), exact
        if self.precision == "float32":
            return exact, exact
        return self.network.tap(layer, self.precision), exact

    def _halve(self, n_units: int, spec: Recipe | Twin) -> None:
        """Half the batch from here on, in the layers to come as well."""
        self._batch_px = n_units // 2 * _pixels_per_unit(spec)
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()


def render_units(
    fast: Tap, exact: Tap, units: Sequence[Unit], spec: Recipe | Twin
) -> list[Picture]:
    """One batch: ascend on the fast tap, measure on the exact one."""
    if isinstance(spec, Twin):
        return twin_pictures(fast, exact, units, spec)
    objective = spec.objective if isinstance(spec, Fourier) else "mean"
    measure = {"centre": centre_response, "layer": layer_response}.get(objective, responses)
    return finish(ascend(fast, units, spec), units, exact, measure)


def batch_size(spec: Recipe | Twin, batch_px: int) -> int:
    """Units per batch: the more, the smaller their largest canvas."""
    return max(1, min(MAX_BATCH, batch_px // _pixels_per_unit(spec)))


def _pixels_per_unit(spec: Recipe | Twin) -> int:
    """Canvas pixels in flight at once: a twin is rendered together with its neighbour."""
    return spec.canvas_px**2 * (2 if isinstance(spec, Twin) else 1)


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


def _timed(parts: Sequence[Picture | Panel], begun: float) -> Batch:
    return Batch(parts, (time.perf_counter() - begun) / len(parts))


def _encode(key: str, kind: Kind, part: Picture | Panel, seconds: float) -> Artifact:
    """An artifact for the cache; a panel has no bytes, only numbers."""
    width_px = height_px = 0
    data = b""
    if isinstance(part, Picture):
        height_px, width_px = part.pixels.shape[:2]
        # Flat colours and edges of weights, and pictures of few pixels, must stay what they are.
        data = encode(part.pixels, lossless=kind == "filter" or width_px < SMALL_PX)
    return Artifact(
        key=key,
        unit=part.unit.id,
        kind=kind,
        width_px=width_px,
        height_px=height_px,
        numbers=part.numbers,
        seconds=round(seconds, 4),
        data=data,
    )


def encode(pixels: NDArray[np.uint8], *, lossless: bool) -> bytes:
    """(H, W, 3), sRGB, as WebP."""
    buffer = io.BytesIO()
    options = (
        {"lossless": True, "quality": 60, "method": 2}
        if lossless
        else {"quality": WEBP_QUALITY, "method": 4}
    )
    Image.fromarray(pixels).save(buffer, "WEBP", **options)
    return buffer.getvalue()
