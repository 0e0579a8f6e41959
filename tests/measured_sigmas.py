"""How close measured standard deviations come to those that BatchNorms know from training.

    python tests/measured_sigmas.py WEIGHTS [FOLDER]

measures every convolution of ResNet-50 that a BatchNorm follows as if none did: on the generated
images, and on 200 images of a folder. Printed are ratios, measured over the BatchNorm's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from atlas.asked import AtlasSpec
from atlas.families import find_family
from atlas.generated_images import Images, reference_images
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.outputs import layer_node
from atlas.network.statistics import measure
from atlas.network.tracing import part_of

N_PHOTOGRAPHS = 200
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def photographs(folder: Path) -> Iterator[Images]:
    """Evenly chosen images of a folder, prepared as torchvision does it, (3, 224, 224)."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    crop = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    for path in paths[:: max(1, len(paths) // N_PHOTOGRAPHS)][:N_PHOTOGRAPHS]:
        with Image.open(path) as image:
            pixels = np.asarray(crop(image.convert("RGB")), dtype=np.float32)
        yield pixels.transpose(2, 0, 1) / 255


def ratios(network: Network, images: Iterator[Images]) -> Mapping[str, torch.Tensor]:
    """By layer, the measured standard deviation of each unit over its BatchNorm's."""
    layers = [layer for layer in network.layers if layer.batch_norm]
    assert network.graph is not None
    nodes = {layer.name: layer_node(network.graph, layer.name) for layer in layers}
    outputs = part_of(network.graph, nodes)
    found = measure(outputs, layers, network.facts.preprocessing, network.device, images)
    return {layer.name: found[layer.name][1] / network.reader(layer).std for layer in layers}


def report(words: str, found: Mapping[str, torch.Tensor]) -> None:
    """Print the medians of the layers, and the quartiles within them."""
    quantiles = torch.tensor([0.25, 0.5, 0.75])
    by_layer = torch.stack([each.quantile(quantiles) for each in found.values()])  # (layers, 3)
    medians = by_layer[:, 1]
    low, high = by_layer[:, 0].median(), by_layer[:, 2].median()
    print(f"{words}: median {medians.median():.2f}, layers {medians.min():.2f} to ", end="")
    print(f"{medians.max():.2f}, quartiles of units in a layer {low:.2f} to {high:.2f}")
    for name, (first, middle, last) in zip(found, by_layer.tolist(), strict=True):
        print(f"  {name:24} {middle:.2f} ({first:.2f} to {last:.2f})")


def main(weights: str, folder: str = "") -> None:
    """Measure on generated images, and on photographs if a folder is given."""
    network = load_network(AtlasSpec(weights=weights), find_family("resnet50"))
    report("generated images", ratios(network, reference_images(224, 3)))
    if folder:
        report("photographs", ratios(network, photographs(Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
