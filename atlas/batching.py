"""How many units fit into one batch: as many as the memory of the device takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from atlas.network.taps import Tap
from atlas.pictures.recipes import ascend
from atlas.recipes import Fourier, Recipe
from atlas.units import Unit

CPU_BATCH_PX = 24 * 224 * 224  # canvas pixels in flight: about 2 GB with a large network
MEMORY_SHARE = 0.8  # of a device's free memory
N_TRIED = 2  # images whose memory is measured
MAX_BATCH = 512


class Batching:
    """Batch sizes on one device: measured where memory is short, halved when it was not enough."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._share = MEMORY_SHARE
        self._cpu_px = CPU_BATCH_PX

    def size(
        self, tap: Tap, units: Sequence[Unit], recipe: Recipe, images_per_unit: int = 1
    ) -> int:
        """Units of a job that go into one batch: the more, the smaller their largest canvas.

        Args:
            tap: that they will be ascended on.
            units: the first of them are tried.
            recipe: of the ascents.
            images_per_unit: that are in memory at once.
        """
        if self._device.type == "cuda":
            used = images_per_unit * bytes_per_image(tap, units[:N_TRIED], recipe)
            n_units = int(self._share * free_bytes(self._device) / used)
        else:
            n_units = self._cpu_px // (images_per_unit * recipe.canvas_px**2)
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


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that nobody uses, with what this process keeps for reuse."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def bytes_per_image(tap: Tap, units: Sequence[Unit], recipe: Recipe) -> float:
    """Memory of a GPU that one image takes at most: measured on one step with a few of them."""
    device = tap.device
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    ascend(tap, units, one_step(recipe))
    used = (torch.cuda.max_memory_allocated(device) - before) / len(units)
    return max(1.0, used)


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
