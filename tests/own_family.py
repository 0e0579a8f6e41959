"""A family of networks from outside the package: other names and wiring, hidden linear layers."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from atlas.families.family import Family, LayerPlace, PublishedWeights
from atlas.labels import ClassLabels
from atlas.units import Preprocessing

LABELS = ("circle", "square", "star")
SIZE_PX = 40


class Fork(nn.Module):
    """Two branches of other depths, put side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.short = nn.Conv2d(6, 4, 1)
        self.long = nn.Sequential(nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.short(maps), self.long(maps)], 1).relu()


class Toy(nn.Module):
    """Convolutions without BatchNorm, a fork, two hidden linear layers and the classes."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.eye = nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.fork = Fork()
        self.squeeze = nn.Conv2d(8, 5, 3, stride=2, padding=1)
        self.brain = nn.Sequential(
            nn.Flatten(), nn.Linear(5 * 5 * 5, 12), nn.ReLU(), nn.Linear(12, 7), nn.ReLU()
        )
        self.verdict = nn.Linear(7, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.eye(images))  # (B, 6, 20, 20)
        maps = torch.relu(self.squeeze(self.fork(maps)))  # (B, 5, 10, 10)
        maps = torch.nn.functional.max_pool2d(maps, 2)  # (B, 5, 5, 5)
        return self.verdict(self.brain(maps))


def place(name: str, is_conv: bool) -> LayerPlace:
    """What sees, what thinks, and the verdict."""
    stage = name.partition(".")[0]
    stage = {"eye": "senses", "fork": "senses", "squeeze": "senses"}.get(stage, stage)
    return LayerPlace(stage, "fork" if name.startswith("fork") else None)


def preprocessing() -> Preprocessing:
    return Preprocessing(SIZE_PX, SIZE_PX, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2))


def labels() -> ClassLabels:
    return ClassLabels(LABELS, "a list of shapes")


def own_family(folder: Path) -> Family:
    """The family, its weights drawn from a seed into a file of `folder`."""
    torch.manual_seed(3)
    path = folder / "toy.safetensors"
    save_file(Toy(len(LABELS)).state_dict(), path)
    glossary = folder / "glossary.html"
    glossary.write_text('<dt id="fork">Fork<dd>Two branches side by side.\n')
    return Family(
        name="toynet",
        title="ToyNet",
        about="A toy.",
        build=Toy,
        classifier="verdict",
        weights={"toy": PublishedWeights(preprocessing, file=path)},
        default_weights="toy",
        labels=labels,
        place=place,
        glossary=glossary,
    )
