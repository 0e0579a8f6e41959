"""How many units go into one batch on a processor, which follows from the sizes of maps alone."""

from __future__ import annotations

import math

from atlas.cutting import Cut
from atlas.units import Layer, NetworkFacts

CPU_BATCH_PX = 24 * 224 * 224  # canvas pixels per batch on a CPU
CPU_BATCH_BYTES = 1.5e9  # of maps per batch on a CPU, about what so many pixels take in ResNet-50
N_WORKED_ON = 4  # copies of the largest map that a step needs beside what it keeps
FIRST_BATCH_MACS = 1e12  # work of a layer's first batch on a CPU, so that a picture is there soon
MAX_BATCH = 512


def cpu_cut(layer: Layer, facts: NetworkFacts, canvas_px: int, macs_per_unit: float) -> Cut:
    """Where a processor cuts a job into batches, if each unit is one image.

    Args:
        layer: the job's layer.
        facts: the layer's network.
        canvas_px: side of the largest canvas.
        macs_per_unit: the work for one unit.
    """
    size = cpu_images(layer, facts, canvas_px, CPU_BATCH_PX, CPU_BATCH_BYTES)
    size = max(1, min(MAX_BATCH, size))
    return Cut(min(size, cpu_first_size(macs_per_unit)), size)


def cpu_images(
    layer: Layer, facts: NetworkFacts, canvas_px: int, most_px: int, most_bytes: float
) -> int:
    """The images of a canvas that take at most so many pixels, and about so many bytes."""
    image_bytes = bytes_of_maps(layer, facts, canvas_px)
    return min(most_px // canvas_px**2, int(most_bytes / image_bytes))


def cpu_first_size(macs_per_unit: float) -> int:
    """The most units of a job's first batch: few, as a full batch takes minutes.

    Args:
        macs_per_unit: the work for one unit. The time it takes must not decide, or pictures
            would depend on what else the computer does.
    """
    return max(1, int(FIRST_BATCH_MACS / max(1.0, macs_per_unit)))


def bytes_of_maps(layer: Layer, facts: NetworkFacts, size_px: int) -> float:
    """About the memory that one step of an ascent on a layer takes for an image, in float32.

    The outputs of all layers before are kept for the gradient, and some copies of the largest one
    are worked on. Measured steps of ResNet-50, VGG-16 and ConvNeXt-T took 0.8 to 1.1 times that.

    Args:
        layer: the layer.
        facts: the layer's network.
        size_px: side of the image.
    """
    sizes = [
        each.n_units * math.prod(each.output_px)
        for each in facts.layers
        if each.index <= layer.index
    ]
    return 4 * (sum(sizes) + N_WORKED_ON * max(sizes)) * (size_px / facts.input_size_px) ** 2
