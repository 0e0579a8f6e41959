"""How many units fit into one batch: as many as the memory of the device takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from atlas.pictures.recipes import ascend
from atlas.spec import Fourier, Recipe, Twin
from atlas.taps import Tap
from atlas.units import Unit

CPU_BATCH_PX = 24 * 224 * 224  # canvas pixels in flight: about 2 GB with ResNet-50
MEMORY_SHARE = 0.8  # of a device's free memory
N_TRIED = 2  # images whose memory is measured
MAX_BATCH = 512


class Batching:
    """Batch sizes on one device: measured where memory is short, halved when it was not enough."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._share = MEMORY_SHARE
        self._cpu_px = CPU_BATCH_PX

    def size(self, tap: Tap, units: Sequence[Unit], spec: Recipe | Twin) -> int:
        """Units of a job that go into one batch: the more, the smaller their largest canvas.

        Args:
            tap: that they will be ascended on.
            units: the first of them are tried.
            spec: the recipe.
        """
        if self._device.type == "cuda":
            used = bytes_per_unit(tap, units[:N_TRIED], spec)
            n_units = int(self._share * free_bytes(self._device) / used)
        else:
            n_units = self._cpu_px // pixels_per_unit(spec)
        return max(1, min(MAX_BATCH, n_units))

    def noise_images(self, size_px: int) -> int:
        """Images of noise that are shown at once: only passed forward, so they need little."""
        return max(1, self._cpu_px // size_px**2)

    def halve(self) -> None:
        """Half the batch from here on, in the layers to come as well."""
        self._share /= 2
        self._cpu_px //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def pixels_per_unit(spec: Recipe | Twin) -> int:
    """Canvas pixels in flight at once: a twin is rendered together with its neighbour."""
    return spec.canvas_px**2 * (2 if isinstance(spec, Twin) else 1)


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that nobody uses, with what this process keeps for reuse."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def bytes_per_unit(tap: Tap, units: Sequence[Unit], spec: Recipe | Twin) -> float:
    """Memory of a GPU that one unit takes at most: measured on one step with a few of them."""
    device = tap.device
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    recipe = spec.first if isinstance(spec, Twin) else spec
    ascend(tap, units, one_step(recipe))
    used = (torch.cuda.max_memory_allocated(device) - before) / len(units)
    return max(1.0, used) * (2 if isinstance(spec, Twin) else 1)


def one_step(recipe: Recipe) -> Recipe:
    """The dearest step of a recipe alone."""
    if isinstance(recipe, Fourier):
        dearest = max(recipe.stages, key=lambda stage: stage.seen_px)
        return dataclasses.replace(recipe, stages=(dataclasses.replace(dearest, steps=1),))
    return dataclasses.replace(recipe, n_scales=1, start_px=recipe.canvas_px, steps=1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host, ran out of memory; other errors must not be mistaken."""
    host = "DefaultCPUAllocator: can't allocate memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError) or host
