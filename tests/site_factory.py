"""A small fake network with generated pictures, for the tests of the site."""

import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

from atlas.asked import AtlasSpec
from atlas.cache import Entry
from atlas.canonical import canonical_json
from atlas.kinds import KINDS
from atlas.kinds.kind import Kind, WholeLayer
from atlas.kinds.map.pyramid import Pyramid, columns_for, draw
from atlas.on_demand.like import KIND as LIKE
from atlas.site.contents import Contents, SpecSummary
from atlas.units import WHOLE_LAYER, Layer, NetworkFacts, Preprocessing, Unit

Numbers = dict[str, Any]  # by their names in JSON, as caches have held them all along
Wanted = Callable[[Unit, str], bool]  # of a unit, or a layer in its place, and a kind's name

DIGEST = "01234567"  # of names of pages
EVIL = '<script>alert(1)</script> & "x"'
LABELS = ("tench", EVIL, "crane", "great grey owl", "crane", "hat-trick", "Éclair", "9-pin bowling")
KIND_NAMES = tuple(kind.name for kind in KINDS)
PER_LAYER = frozenset(kind.name for kind in KINDS if isinstance(kind.scope, WholeLayer))
PANELS = PER_LAYER - {"dream", "map", "photographs"}
EMBEDDING = "ADwAOA=="  # of every picture: 1 and 0.5 in half precision
FOLDER_SHA256 = "fedcba9876543210" * 4
ASKED = AtlasSpec(images_sha256=FOLDER_SHA256, n_images=100_000)  # of which crops are shown
FEW = AtlasSpec(images_sha256=FOLDER_SHA256, n_images=1200)  # which are shown whole
PHOTOGRAPHS = ("birds/a.jpg", "c.jpg", f"fish/{EVIL}.jpg")
FOURIER = {
    "name": "fourier",
    "version": 1,
    "stages": [{"size_px": 128, "steps": 96}, {"size_px": 224, "steps": 64}],
    "seed": 0,
}


def layer(name: str, n_units: int, in_channels: int, **changes: object) -> Layer:
    """A conv layer with a few facts changed."""
    fields: dict[str, object] = {
        "name": name,
        "index": 0,
        "kind": "conv",
        "n_units": n_units,
        "in_channels": in_channels,
        "kernel": (1, 1),
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "stage": name.partition(".")[0],
        "block": None,
        "batch_norm": "bn",
        "writers": (),
        "output_px": (56, 56),
        "receptive_field_px": 11,
        "field_centre_px": 0.0,
        "total_stride_px": 4,
        "macs": 120_000_000,
    }
    return Layer(**{**fields, **changes})  # type: ignore[arg-type]


def numbered(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """The layers in forward order."""
    return tuple(dataclasses.replace(one, index=index) for index, one in enumerate(layers))


def bottleneck(
    name: str, writers: tuple[str, ...], width: int, inputs: int, project: bool
) -> list[Layer]:
    """The layers of one residual block."""
    block = {"block": name, "stage": name.partition(".")[0]}
    layers = [
        layer(f"{name}.conv1", width, inputs, writers=writers, **block),
        layer(f"{name}.conv2", width, width, writers=(f"{name}.conv1",), kernel=(3, 3), **block),
        layer(f"{name}.conv3", 4 * width, width, writers=(f"{name}.conv2",), **block),
    ]
    if project:
        layers.append(layer(f"{name}.downsample.0", 4 * width, inputs, writers=writers, **block))
    return layers


def network(n_blocks: tuple[int, ...] = (2, 1), width: int = 5) -> NetworkFacts:
    """A bottleneck ResNet with few channels."""
    layers = [
        layer(
            "conv1", 3 * width, 3, kernel=(7, 7), stride=(2, 2), stage="stem", receptive_field_px=7
        )
    ]
    inputs, writers = 3 * width, ("conv1",)
    for stage, n in enumerate(n_blocks):
        for block in range(n):
            name, size = f"layer{stage + 1}.{block}", width * 2**stage
            layers += bottleneck(name, writers, size, inputs, project=block == 0)
            inputs = 4 * size
            written = (f"{name}.conv3",) if block else (f"{name}.conv3", f"{name}.downsample.0")
            writers = writers + written if block else written
    layers.append(
        linear("fc", len(LABELS), inputs, "classifier", writers=writers, stage="classifier")
    )
    return facts_of(layers)


def plain_network() -> NetworkFacts:
    """Two convolutions, a hidden linear layer that reads a flattened map, and the classes."""
    return facts_of(
        (
            layer("features.0", 6, 3, kernel=(3, 3)),
            layer("features.3", 4, 6, kernel=(3, 3), writers=("features.0",)),
            linear("classifier.0", 12, 4 * 49, "hidden", writers=("features.3",)),
            linear("classifier.3", len(LABELS), 12, "classifier", writers=("classifier.0",)),
        )
    )


def branched_network() -> NetworkFacts:
    """Branches of every kind: side by side, gated, nested, dense, folded away, and unknown."""

    def reading(name: str, inputs: str, merge: str = "", **changes: object) -> Layer:
        names = tuple(inputs.split())
        return layer(name, 3, 3, **{"inputs": names, "merge": merge, "stage": "28 × 28", **changes})

    layers = [reading("stem.0", "", stage="stem"), reading("stem.1", "stem.0", stage="stem")]
    fire = {"block": "fire"}
    layers += [
        reading("fire.squeeze", "stem.1", **fire),
        reading("fire.expand1x1", "fire.squeeze", **fire),
        reading("fire.expand3x3", "fire.squeeze", **fire, kernel=(3, 3)),
    ]
    mixed, entry = {"block": "mixed"}, "fire.expand1x1 fire.expand3x3"
    layers += [
        reading("mixed.branch1x1.conv", entry, "concat", **mixed),
        *_chain("mixed.branch7x7double_", entry, 5, **mixed),
        reading("mixed.branch3x3_1.conv", entry, "concat", **mixed),
        reading("mixed.branch3x3_2a.conv", "mixed.branch3x3_1.conv", **mixed, kernel=(1, 3)),
        reading("mixed.branch3x3_2b.conv", "mixed.branch3x3_1.conv", **mixed, kernel=(3, 1)),
    ]
    read = "mixed.branch1x1.conv mixed.branch7x7double_5 mixed.branch3x3_2a.conv "
    read, merge = f"{read}mixed.branch3x3_2b.conv", "concat"
    for nth in range(9):
        name, gated = f"gated.{nth}", {"block": f"gated.{nth}", "stage": "gated"}
        layers += [
            reading(f"{name}.expand", read, merge, **gated),
            reading(f"{name}.depth", f"{name}.expand", **gated, kernel=(3, 3), groups=3),
            reading(f"{name}.se.fc1", f"{name}.depth", **gated, output_px=(1, 1)),
            reading(f"{name}.se.fc2", f"{name}.se.fc1", **gated, output_px=(1, 1)),
            reading(f"{name}.project", f"{name}.depth", **gated, gates=(f"{name}.se.fc2",)),
        ]
        read = f"{read if nth else ''} {name}.project"
        merge = "sum" if nth else ""
    hooked = {"stage": "7 × 7", "is_traced": False}
    layers += [reading(f"hooked.{nth}", "", **hooked) for nth in range(6)]
    layers += [
        linear(
            "classifier.0",
            6,
            3,
            "hidden",
            writers=("hooked.5",),
            inputs=("hooked.5",),
            stage="classifier",
        ),
        linear(
            "classifier.1",
            len(LABELS),
            6,
            "classifier",
            inputs=("classifier.0",),
            writers=("classifier.0",),
            stage="classifier",
        ),
    ]
    return facts_of(layers)


def _chain(stem: str, inputs: str, n_layers: int, **changes: object) -> list[Layer]:
    """Layers one after the other, the first of which reads what is side by side."""
    read = [tuple(inputs.split()), *((f"{stem}{nth}",) for nth in range(1, n_layers))]
    return [
        layer(
            f"{stem}{nth}",
            3,
            3,
            inputs=names,
            merge="concat" if len(names) > 1 else "",
            kernel=(1, 7),
            **{"stage": "28 × 28", **changes},
        )
        for nth, names in enumerate(read, 1)
    ]


def linear(name: str, n_units: int, in_channels: int, kind: str, **changes: object) -> Layer:
    """A linear layer, hidden or of the classes."""
    map_facts = {"output_px": (1, 1), "receptive_field_px": 483, "batch_norm": None}
    return layer(name, n_units, in_channels, kind=kind, **{**map_facts, **changes})


def facts_of(layers: Iterable[Layer]) -> NetworkFacts:
    """The facts of a network of these layers."""
    return NetworkFacts(
        name="TinyNet",
        family="tiny",
        weights="tiny.safetensors",
        sha256="0123456789abcdef" * 4,
        labels=LABELS,
        labels_source="made up",
        preprocessing=Preprocessing(64, 73.0, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)),
        layers=numbered(layers),
    )


def colour(unit: Unit, kind: str) -> tuple[int, int, int]:
    """A solid colour that only this unit's picture has; loud enough to survive WebP."""
    digest = hashlib.sha256(f"{unit.id} {kind}".encode()).digest()
    return tuple(32 + byte % 7 * 32 for byte in digest[:3])  # type: ignore[return-value]


@functools.cache  # many sites have the same units
def picture(rgb: tuple[int, int, int], size: tuple[int, int], lossless: bool) -> bytes:
    """A solid picture as WebP."""
    buffer = io.BytesIO()
    Image.new("RGB", size, rgb).save(buffer, "WEBP", lossless=lossless, quality=90)
    return buffer.getvalue()


@functools.cache
def size_px_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


class Pictures:
    """Artifacts in memory, as the cache would hold them; counts what is read."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.n_reads = 0

    def read(self, key: str) -> bytes:
        self.n_reads += 1
        return self.data[key]

    def add(self, unit: Unit, kind: str, data: bytes, numbers: Numbers) -> Entry:
        sha256 = hashlib.sha256(data).hexdigest()
        key = hashlib.sha256(f"{unit.id} {kind} {sha256}".encode()).hexdigest()
        width_px = height_px = 0
        if data:
            width_px, height_px = size_px_of(data)
            self.data[key] = data
        return Entry(
            key, unit.id, kind, width_px, height_px, canonical_json(numbers), 0.1, sha256, len(data)
        )

    def add_pieces(self, unit: Unit, kind: str, files: Iterable[bytes], numbers: Numbers) -> Entry:
        """An artifact whose data are several files, one after another."""
        entry, data = self.add(unit, kind, b"", numbers), b"".join(files)
        self.data[entry.key] = data
        sha256 = hashlib.sha256(data).hexdigest()
        return dataclasses.replace(entry, sha256=sha256, n_bytes=len(data))


def response(layer: Layer, unit: Unit, sign: int = 1) -> Numbers:
    """Numbers of a picture that drives a unit up, or down."""
    if layer.is_classifier:
        return class_numbers(unit, layer.n_units, sign)
    name = layer.score_name
    return {
        name: sign * (1.5 + unit.index / 4),
        f"{name}_max": 8.5 + unit.index if sign > 0 else 0.5,
        f"{name}_min": -0.5 if sign > 0 else -7.5 - unit.index,
        f"{name}_start": -0.1,
    }


def class_numbers(unit: Unit, n_classes: int, sign: int = 1) -> Numbers:
    """Numbers of a picture of a class."""
    others = [(unit.index + step) % n_classes for step in range(min(5, n_classes))]
    shares = (0.93, 0.04, 0.01, 0.0004, 0.0)
    return {
        "logit": sign * (20.0 + unit.index),
        "logit_start": -0.3,
        "p": 0.93 if sign > 0 else 0.0,
        "rank": 0 if sign > 0 else n_classes - 1,
        "top5": [[index, share] for index, share in zip(others, shares, strict=False)],
    }


def field_numbers(layer: Layer, unit: Unit) -> Numbers:
    """Numbers of the picture of one position."""
    name = layer.score_name
    return {name: 12.25 + unit.index, f"{name}_start": 0.05}


def twin_numbers(layer: Layer, unit: Unit) -> Numbers:
    """Numbers of the picture from a second seed."""
    return {**response(layer, unit), "similarity": 0.91, "similarity_other": -0.12}


def panel_numbers(kind: str, layer: Layer) -> Numbers:
    """Numbers of a measurement on all of a layer's units at once."""
    name, n_units = layer.score_name, layer.n_units
    if kind == "noise":
        spread = 1.5 if layer.is_conv else 0.0  # others have one position
        sizes = {name: 0.25, f"{name}_max": 0.25 + spread, f"{name}_min": 0.25 - spread}
        return {"n_images": 16} | {end: [size] * n_units for end, size in sizes.items()}
    if kind == "border":
        ends = {f"{name}_border": 0.5, f"{name}_middle": 0.25, "excess": 0.25}
        return {end: [value] * n_units for end, value in ends.items()} | {"place": [None] * n_units}
    if kind == "similar":
        return similar_numbers(layer)
    if kind == "tuning":
        return tuning_numbers(layer)
    if kind == "names":
        return names_numbers(layer)
    return {
        "n_images": 1200,
        "n_skipped": 1,
        "skipped": ["torn.jpg"],
        "n_classes": 2,
        "folder_sha256": FOLDER_SHA256,
        "files": ["birds/a.jpg", f"fish/{EVIL}.jpg", "c.jpg"],
        "file_classes": [0, 1, -1],
        "classes": ["birds", EVIL],
        "fires": [0.25] * n_units,
        "active": [0.0123] * n_units,
        "selectivity": [None if index == 1 else 0.75 for index in range(n_units)],
        "class": [None if index == 1 else 1 for index in range(n_units)],
        "top": [[[1, 0, 0, 5.5], [1, 1, 0, 4.5], [0, 0, 2, 3.5], [2, 0, 0, 3.0]]] * n_units,
        "spread": [[[file, 0, 0, 2.5 - file] for file in (0, 1, 2)]] * n_units,
        f"{name}_max": [5.5] * n_units,
        f"{name}_min": [-4.5] * n_units,
        "highest": [f"birds/{EVIL} {index}.jpg" for index in range(n_units)],
        "lowest": [f"fish/{index}.jpg" for index in range(n_units)],
    }


def tuning_numbers(layer: Layer) -> Numbers:
    """A unit of orientation 30 that answers to no colour; unit 1 answers to nothing."""
    per_unit: Numbers = {
        "orientation": [float(nth == 2) * 4 + 1 for nth in range(12)],
        "period": [1.0, 5.0, 2.0],
        "hue": [1.0] * 12,
        "ring": [1.0, 3.0],
        "blank": 1.0,
        "orientation_deg": 30.0,
        "orientation_selectivity": 0.71,
        "hue_deg": None,
        "hue_selectivity": None,
        "period_px": 6,
        "ring_px": 9,
    }
    none = ("orientation_deg", "orientation_selectivity", "period_px", "ring_px")
    return {
        "orientations_deg": [15.0 * nth for nth in range(12)],
        "periods_px": [4, 6, 8],
        "hues_deg": [30.0 * nth for nth in range(12)],
        "radii_px": [4, 9],
        **{
            name: [None if index == 1 and name in none else each for index in range(layer.n_units)]
            for name, each in per_unit.items()
        },
    }


def names_numbers(layer: Layer) -> Numbers:
    """Units are named after one of two concepts; unit 1 has no name."""
    n_units = layer.n_units
    return {
        "n_images": 1200,
        "n_concepts": 40,
        "largest_p": 0.004,
        "least_auc": 0.7,
        "concepts": ["hound", EVIL],
        "concept_ids": ["n02087551", ""],
        "concept_words": [["hound dog"], []],
        "concept_images": [19, 600],
        "concept": [index % 2 for index in range(n_units)],
        "is_name": [index != 1 for index in range(n_units)],
        "auc": [0.61 if index == 1 else 0.972 for index in range(n_units)],
        "p": [0.3 if index == 1 else 0.0002 for index in range(n_units)],
    }


def similar_numbers(layer: Layer) -> Numbers:
    """Neighbours: the next unit of the layer, and the first of the first layer."""
    n_units = layer.n_units
    return {
        "basis": "photographs",
        "within": [[[layer.index, (index + 1) % n_units, 0.9]] for index in range(n_units)],
        "across": [[] if layer.index == 0 else [[0, 0, 0.8]] for _ in range(n_units)],
    }


def circuit_numbers(layer: Layer, facts: NetworkFacts) -> Numbers:
    """The layers before and after: their first units excite, their last ones inhibit."""
    numbers: Numbers = {}
    if layer.index and not reads_flattened(layer, facts):
        up, down = partners(facts.layers[layer.index - 1])
        numbers |= {"excited_by": up, "inhibited_by": down, "n_effective": 3.6, "top_share": 0.31}
    onward = facts.layers[layer.index + 1 : layer.index + 2]
    if onward and not reads_flattened(onward[0], facts):
        up, down = partners(onward[0])
        numbers |= {"excites": up, "inhibits": down}
    return {name: [each] * layer.n_units for name, each in numbers.items()}


def reads_flattened(layer: Layer, facts: NetworkFacts) -> bool:
    """Whether it takes in a map's positions one by one: then no channel stands for an input."""
    read = [facts.layer(name) for name in layer.writers]
    return not layer.is_conv and read[0].is_conv and read[0].n_units != layer.in_channels


def partners(layer: Layer) -> tuple[list[Any], list[Any]]:
    """Connections of both signs with at most five units of a layer, strongest first."""
    channels = range(min(5, layer.n_units))
    up = [[layer.index, nth, 0.5 - nth / 10] for nth in channels]
    return up, [[layer.index, layer.n_units - 1 - nth, -0.25 / (1 + 9 * nth)] for nth in channels]


def filter_numbers(layer: Layer) -> Numbers:
    """Numbers of a filter picture in the style that fits the layer."""
    numbers: Numbers = {"low": -0.213, "high": 0.187}
    if layer.index == 0:
        return {"style": "rgb", "low": -0.2, "high": 0.2}
    if layer.kernel == (1, 1):
        return {"style": "bars", **numbers}
    inputs = list(range(layer.in_channels // layer.groups))[::-1][:25]
    return {"style": "montage", "inputs": inputs, "columns": 5, "factor": 2, **numbers}


def numbers_of(kind: str, layer: Layer, unit: Unit, facts: NetworkFacts) -> Numbers:
    """Numbers as the kind has them."""
    makers: dict[str, Callable[[], Numbers]] = {
        "circuit": lambda: circuit_numbers(layer, facts),
        "filter": lambda: filter_numbers(layer),
        "dream": lambda: {"rms": 2.5, "rms_start": 0.75},
        "excitatory": lambda: {**response(layer, unit), "embedding": EMBEDDING},
        "inhibitory": lambda: response(layer, unit, -1),
        "field": lambda: field_numbers(layer, unit),
        "twin": lambda: twin_numbers(layer, unit),
        "examples": dict,
    }
    return makers[kind]() if kind in makers else panel_numbers(kind, layer)


def data_of(kind: str, layer: Layer, unit: Unit, size_px: int) -> bytes:
    """A picture of the kind's size in a colour of the unit's own; nothing where there is none."""
    if kind in PANELS:
        return b""
    size, lossless = (size_px, size_px), size_px < 48
    if kind == "filter":
        size, lossless = (40, 30) if layer.kernel == (1, 1) else (40, 40), True
    if kind == "examples":
        size, lossless = (102, 78), True
    if kind == "field":
        size, lossless = (layer.receptive_field_px,) * 2, layer.receptive_field_px < 48
    return picture(colour(unit, kind), size, lossless)


def units_with(
    kind: Kind[Any], layer: Layer, facts: NetworkFacts, asked: AtlasSpec = ASKED
) -> tuple[Unit, ...]:
    """What a layer has artifacts of a kind for, if it can have them."""
    if not kind.is_possible(asked, layer, facts):
        return ()
    return kind.scope.units(layer, layer.units)


def contents(
    facts: NetworkFacts | None = None,
    wanted: Wanted = lambda unit, kind: True,
    size_px: int = 64,
    asked: AtlasSpec = ASKED,
) -> tuple[Contents, Pictures]:
    """Contents with an artifact for each unit, or layer, and kind that is wanted."""
    facts = facts or network()
    pictures = Pictures()
    entries: dict[str, dict[str, Entry]] = {}
    for one in facts.layers:
        for kind in (kind for kind in KINDS if kind.name not in ("map", "photographs")):
            for unit in units_with(kind, one, facts, asked):
                if wanted(unit, kind.name):
                    data = data_of(kind.name, one, unit, size_px)
                    numbers = numbers_of(kind.name, one, unit, facts)
                    entry = pictures.add(unit, kind.name, data, numbers)
                    entries.setdefault(unit.id, {})[kind.name] = entry
    if wanted(facts.layers[0].whole, "map"):
        entries.setdefault(facts.layers[0].name, {})["map"] = map_of(facts, entries, pictures)
    whole = facts.layers[0].whole
    if wanted(whole, "photographs") and asked.n_images == FEW.n_images:
        entries.setdefault(whole.id, {})["photographs"] = photographs_of(whole, pictures)
    spec = SpecSummary("fourier", "standard", 0, {one.name: FOURIER for one in facts.layers})
    return Contents(facts, spec, entries, pictures.read), pictures


def map_of(
    facts: NetworkFacts, entries: Mapping[str, Mapping[str, Entry]], pictures: Pictures
) -> Entry:
    """The map of all units with a picture, in their own order."""
    shown = [
        (unit, entry)
        for one in facts.layers
        for unit in one.units
        if (entry := entries.get(unit.id, {}).get("excitatory"))
    ]
    n_columns = columns_for(len(shown))
    read = [functools.partial(pictures.data.__getitem__, entry.key) for _, entry in shown]
    tiles = [*draw(Pyramid.of(len(shown), n_columns), read)] if shown else []
    index_of = {one.name: one.index for one in facts.layers}
    numbers = {
        "n_columns": n_columns,
        "n_dead": 0,
        "places": [[index_of[unit.layer], unit.index] for unit, _ in shown],
        "tile_bytes": [len(tile) for tile in tiles],
    }
    return pictures.add_pieces(facts.layers[0].whole, "map", tiles, numbers)


def photographs_of(whole: Unit, pictures: Pictures) -> Entry:
    """Whole photographs, each in a colour of its own."""
    files = [picture(colour(whole, name), (64, 64), lossless=False) for name in PHOTOGRAPHS]
    numbers = {"photographs": PHOTOGRAPHS, "n_bytes": [len(each) for each in files]}
    return pictures.add_pieces(whole, "photographs", files, numbers)


@contextmanager
def changed_numbers(contents: Contents, holder: str, kind: str) -> Iterator[Numbers]:
    """The numbers of a unit or layer, by its id, to be changed in place."""
    entries: Any = contents.entries
    entry = entries[holder][kind]
    numbers = json.loads(entry.numbers_json)
    yield numbers
    entries[holder][kind] = dataclasses.replace(entry, numbers_json=canonical_json(numbers))


def asked_for(pictures: Pictures, facts: NetworkFacts) -> tuple[Entry, ...]:
    """A page of each kind that is made on demand; those of units are about the first two."""
    layer, shared = facts.layers[1], {"weights": facts.sha256, "name": f"{EVIL}.jpg"}
    first, second = (unit.id for unit in layer.units[:2])
    caricature = {**shared, "layer": layer.name, "cosine": 0.8, "cosine_start": -0.02}
    mix = {**shared, "units": [first, second], "shares": [0.0, 1.0], "peaks": [[5, -1], [0, 6]]}
    likeness = [[1.0, 0.5], [0.5, 1.0]]
    variants = {**shared, "unit": first, "peaks": [5.0, 4.0], "likeness": likeness}
    strip = picture((200, 90, 30), (128, 64), False)
    return (
        like(pictures, facts, f"cat-{DIGEST}"),
        pictures.add(Unit(f"cat-{DIGEST}", layer.index), "caricature", strip, caricature),
        pictures.add(Unit(f"pair-{DIGEST}", WHOLE_LAYER), "mix", strip, mix),
        pictures.add(Unit(f"one-{DIGEST}", WHOLE_LAYER), "variants", strip, variants),
    )


def like(pictures: Pictures, facts: NetworkFacts, slug: str) -> Entry:
    """An image that was looked up: it drives the first two units of every layer."""
    numbers = {
        "weights": facts.sha256,
        "name": f"{EVIL}.jpg",
        "units": {layer.name: [[0, 5.5], [1, 4.0]] for layer in facts.layers},
        "p": {"0": 0.9, "1": 0.05},
    }
    data = picture((200, 90, 30), (64, 64), False)
    return pictures.add(Unit(slug, WHOLE_LAYER), LIKE.name, data, numbers)
