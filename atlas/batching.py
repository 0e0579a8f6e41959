"""How many units are rendered in one batch: as many as fit into the device's memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from atlas.batch_sizes import (
    CPU_BATCH_BYTES,
    CPU_BATCH_PX,
    MAX_BATCH,
    cpu_first_size,
    cpu_images,
)
from atlas.network.taps import Tap
from atlas.pictures.recipes import ascend
from atlas.recipes import Fourier, Recipe
from atlas.units import NetworkFacts, Unit

MEMORY_SHARE = 0.8  # share of a GPU's free memory that a batch may take
N_TRIED = 2  # images that are rendered to measure the memory of one
MAX_GPU_BATCH = 128  # so that the batches of one network can be shared evenly by dozens of GPUs


class Batching:
    """Batch sizes on one device, for one network, halved if memory runs out.

    On a GPU the memory of an image is measured. On a CPU it is counted from the sizes of maps.
    """

    def __init__(self, device: torch.device, facts: NetworkFacts) -> None:
        self._device = device
        self._facts = facts
        self._share = MEMORY_SHARE
        self._cpu_px = CPU_BATCH_PX
        self._cpu_bytes = CPU_BATCH_BYTES

    def size(
        self, tap: Tap, units: Sequence[Unit], recipe: Recipe, images_per_unit: int = 1
    ) -> int:
        """Units of a job that go into one batch: the more, the smaller their largest canvas.

        Args:
            tap: the tap that the ascents use.
            units: the job's units; the first of them are rendered to measure memory.
            recipe: the recipe of the ascents.
            images_per_unit: images of each unit that are in memory at once.
        """
        if self._device.type == "cuda":
            bytes_per_unit = images_per_unit * bytes_per_image(tap, units[:N_TRIED], recipe)
            n_fitting = int(self._share * free_bytes(self._device) / bytes_per_unit)
            n_units = min(MAX_GPU_BATCH, n_fitting)
        else:
            limits = self._cpu_px, self._cpu_bytes
            n_images = cpu_images(tap.layer, self._facts, recipe.canvas_px, *limits)
            n_units = n_images // images_per_unit
        return max(1, min(MAX_BATCH, n_units))

    def first_size(self, macs_per_unit: float) -> int:
        """The most units of a job's first batch: few on a CPU, where a full batch takes minutes."""
        return MAX_BATCH if self._device.type == "cuda" else cpu_first_size(macs_per_unit)

    def noise_images(self, size_px: int) -> int:
        """Noise images per batch: they only pass forward, so they need little memory."""
        return max(1, self._cpu_px // size_px**2)

    def halve(self) -> None:
        """Halve the batch sizes from now on, for later layers too."""
        self._share /= 2
        self._cpu_px //= 2
        self._cpu_bytes /= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Free memory of a GPU, including what this process has reserved but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def bytes_per_image(tap: Tap, units: Sequence[Unit], recipe: Recipe) -> float:
    """Peak memory of a GPU per image, measured on one step with a few images."""
    device = tap.device
    torch.cuda.reset_peak_memory_stats(device)
    allocated_before = torch.cuda.memory_allocated(device)
    ascend(tap, units, one_step(recipe))
    per_image = (torch.cuda.max_memory_allocated(device) - allocated_before) / len(units)
    return max(1.0, per_image)


def one_step(recipe: Recipe) -> Recipe:
    """The recipe reduced to the one step that takes most memory."""
    if isinstance(recipe, Fourier):
        largest = max(recipe.stages, key=lambda stage: stage.seen_px)
        return dataclasses.replace(recipe, stages=(dataclasses.replace(largest, steps=1),))
    return dataclasses.replace(recipe, n_scales=1, start_px=recipe.canvas_px, steps=1)
