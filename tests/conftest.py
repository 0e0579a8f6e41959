"""Tiny networks whose best pictures are known beforehand, and sites in a browser."""

from __future__ import annotations

import functools
import gc
import math
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import torch
from host import serve
from torch import Tensor, nn

from atlas.generated_images import N_REFERENCE_IMAGES, Images, reference_image
from atlas.network import network
from atlas.network.network import Network
from atlas.network.walk import walk
from atlas.units import NetworkFacts, Preprocessing

if TYPE_CHECKING:
    from atlas.cache import Cache

IMAGE_PX = 48
GABOR_PERIOD_PX = 6.0
GABOR_ANGLE_DEG = 30.0
IN_MEMORY, MEMORY = Path("/dev/shm"), Path("/proc/meminfo")  # on Linux
ROOM_BYTES = 8 * 2**30  # several times as much as tests hold at once
LONG_FILES = (
    *("test_every_network.py", "test_real_weights.py", "test_corruption.py", "test_pipeline.py"),
    *("test_cluster.py", "test_architectures.py", "test_browser.py", "test_photographs.py"),
    *("test_decoding.py", "test_soak.py", "test_transfer.py", "test_console.py", "test_html.py"),
    *("test_mutated_weights.py", "test_demo.py", "test_wheel.py", "test_trimming.py"),
    *("test_command.py", "test_comparison.py", "test_database.py", "test_site_guard.py"),
    *("test_signals.py", "test_site_writer.py", "test_slurm.py", "test_weights.py"),
    *("test_site_pages.py", "test_site_atlases.py", "test_site_circuits.py", "test_names.py"),
)


def pytest_configure() -> None:
    """One thread: networks this small gain nothing from a second, and would wait for it."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the builds that tests start
    # A shell has what it starts in the background ignore Ctrl-C, which some tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    known = functools.partialmethod(jinja2.Environment.__init__, bytecode_cache=KnownTemplates())
    jinja2.Environment.__init__ = known
    network.reference_images = known_images
    if has_room(IN_MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))  # the folders of tests
    gc.disable()  # until all tests are collected


def has_room(folder: Path) -> bool:
    """Whether a file system in memory has room for tests; ext4 took a hundred times as long."""
    if not folder.is_dir() or not MEMORY.is_file():
        return False
    (available_kib,) = re.findall(r"MemAvailable: +(\d+) kB", MEMORY.read_text(encoding="ascii"))
    return min(shutil.disk_usage(folder).free, 1024 * int(available_kib)) > ROOM_BYTES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first: at the end no worker is left with one while the others have none."""
    ranks = {name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def pytest_collection_finish() -> None:
    """No garbage is looked for among modules and tests, which stay."""
    gc.freeze()
    gc.enable()


class KnownTemplates(jinja2.BytecodeCache):
    """Compiles each template once for all sites that tests write: a fifth of writing one."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if compiled := self._compiled.get(bucket.key):
            bucket.bytecode_from_string(compiled)  # which drops it if the source is another

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


def known_images(
    size_px: int, n_channels: int, n_images: int = N_REFERENCE_IMAGES
) -> Iterator[Images]:
    """The generated images that networks are measured on, made once for many networks."""
    return (known_image(nth, size_px, n_channels) for nth in range(n_images))


@functools.lru_cache(maxsize=256)
def known_image(number: int, size_px: int, n_channels: int) -> Images:
    image = reference_image(number, size_px, n_channels)
    image.setflags(write=False)
    return image


class Planted(nn.Module):
    """A stem of hand-made filters, one block, one classifier.

    Units of conv1: 0 a Gabor, 1 the same Gabor under a negative BatchNorm scale, 2 red against
    green, 3 all zeros and so dead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 11, padding=5, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(4), Block(4))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)
        with torch.no_grad():
            self.conv1.weight.zero_()
            self.conv1.weight[0] = gabor()
            self.conv1.weight[1] = gabor()
            self.conv1.weight[2, 0, 5, 5] = 4.0
            self.conv1.weight[2, 1, 5, 5] = -4.0
            self.bn1.weight[1] = -1.0

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(images)))
        return self.fc(self.pool(self.layer1(x)).flatten(1))


class Block(nn.Module):
    """A residual block that reuses one in-place ReLU, the trap that torchvision's ResNet sets."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class HiddenLinear(nn.Module):
    """A stem of any kind, and after it a flattened map, a hidden linear layer and a classifier."""

    def __init__(self, size_px: int = IMAGE_PX) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(5)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(5 * (size_px // 4) ** 2, 6)
        self.hidden_bn = nn.BatchNorm1d(6)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.pool(self.relu(self.bn(self.conv(images))))
        return self.fc(self.dropout(self.relu(self.hidden_bn(self.hidden(maps.flatten(1))))))


def gabor() -> Tensor:
    """An 11 x 11 grey grating under a Gaussian window, without a mean, (3, 11, 11)."""
    y, x = torch.meshgrid(torch.arange(-5.0, 6), torch.arange(-5.0, 6), indexing="ij")
    angle = math.radians(GABOR_ANGLE_DEG)
    across = x * math.cos(angle) + y * math.sin(angle)
    wave = torch.cos(2 * math.pi * across / GABOR_PERIOD_PX) * torch.exp(-(x**2 + y**2) / 18)
    return (wave - wave.mean()).expand(3, -1, -1)


def make_network(model: nn.Module, input_size_px: int = IMAGE_PX) -> Network:
    """A network of any model, as `load_network` would give it."""
    model = model.eval()
    layers = walk(model, input_size_px)
    labels = tuple(f"class {index}" for index in range(layers[-1].n_units))
    facts = NetworkFacts(
        name="Planted",
        family="planted",
        weights="planted",
        sha256="0" * 64,
        labels=labels,
        labels_source="made up",
        preprocessing=seen_as(input_size_px),
        layers=layers,
    )
    return Network(model, facts)


def seen_as(size_px: int) -> Preprocessing:
    """Of photographs the middle 7/8 are seen, at a size."""
    return Preprocessing(size_px, size_px * 8 / 7, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Seeded weights and BatchNorm statistics, with scales of both signs."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, -1.0, 1.0),
                (module.bias.data, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            noise = torch.randn(module.weight.shape, generator=generator)
            module.weight.data.copy_(noise * (2 / fan_in) ** 0.5)
    return model


@pytest.fixture
def planted() -> Network:
    """The network with the planted stem."""
    return make_network(Planted())


@pytest.fixture
def seeded() -> Network:
    """The same architecture with seeded random weights everywhere."""
    return make_network(randomise(Planted()))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """An empty cache."""
    from atlas.cache import Cache

    with Cache(tmp_path / "cache") as opened:
        yield opened


# The site of a module, its fixture `site`, in a browser. Playwright is imported where it is used.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, with one window for each visit."""
    from visits import launch

    with launch() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The address of the module's site on a host, below a path."""
    with serve(site) as address:
        yield address


@pytest.fixture(params=["http", "file"])
def base(request: pytest.FixtureRequest, served: str, site: Path) -> str:
    """Where the site is: on a host below a path, or in a folder."""
    return served if request.param == "http" else site.as_uri()


@pytest.fixture(scope="module")
def shared_visit(browser: Any, served: str) -> Iterator[Any]:
    """What the visits of a module have in common, which takes long to make."""
    from visits import Visit

    with Visit(browser, served) as made:
        yield made


@pytest.fixture
def visit(shared_visit: Any) -> Iterator[Any]:
    """A visit to the module's site, which hears what goes wrong on it."""
    yield shared_visit
    try:
        shared_visit.complain()
    finally:
        shared_visit.begin_anew()
