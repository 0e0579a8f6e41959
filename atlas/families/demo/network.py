"""A residual network that is small enough for the package and has the structure of a large one.

Its modules are named and connected as in torchvision's residual networks: bottleneck blocks whose
only ReLU is used several times and in place, a strided 3x3 conv, 1x1 projections on the shortcut,
and a block with an identity shortcut.
"""

from __future__ import annotations

from torch import Tensor, nn


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 conv, added to a shortcut."""

    def __init__(self, in_channels: int, width: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's maps: (B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        maps: Tensor = self.relu(out)
        return maps


class DemoNetwork(nn.Module):
    """Stem, three bottleneck blocks in two stages, average pool, classifier."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = nn.Sequential(Bottleneck(16, 24, 48))
        self.layer2 = nn.Sequential(Bottleneck(48, 40, 96, stride=2), Bottleneck(96, 40, 96))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(96, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images: (B, 3, H, W) -> (B, n_classes)."""
        x = self.relu(self.bn1(self.conv1(images)))  # (B, 16, H/2, W/2)
        x = self.layer1(self.maxpool(x))  # (B, 48, H/4, W/4)
        x = self.layer2(x)  # (B, 96, H/8, W/8)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))  # (B, n_classes)
        return logits


def build_demo(n_classes: int) -> nn.Module:
    """The demo network with random weights."""
    return DemoNetwork(n_classes)
