"""For notebooks and programs: open a network, render some of its units, look at the pictures.

What was made is not kept: to keep it, and for a site, build an `Atlas`.
"""

from __future__ import annotations

import base64
import html
import io
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, SupportsIndex, TypeAlias, get_args, overload

from PIL import Image
from torch import nn

from atlas.asked import AtlasSpec, Preparation
from atlas.catalogue import CATALOGUE, Catalogue
from atlas.console import say_line
from atlas.devices import find_device
from atlas.engine import Launch
from atlas.errors import SpecError
from atlas.families import find_family
from atlas.families.family import Family
from atlas.kinds import find_kinds
from atlas.kinds.kind import Kind
from atlas.labels import with_labels
from atlas.lazily import load
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.pictures.picture import Picture
from atlas.pixels import Pixels
from atlas.plan import Job, jobs_of
from atlas.recipes import PresetName, RecipeName
from atlas.renderer import Renderer
from atlas.selection import name_of, units_named
from atlas.sheets import SMALL_PX
from atlas.text import displayable
from atlas.units import Layer, NetworkFacts, Unit

SHOWN_PX = 128  # longer side of a picture in a row of them
N_SHOWN = 64  # pictures of a row; more would make a notebook slow

Units: TypeAlias = "Unit | Layer | str | Iterable[Unit | Layer | str]"


@dataclass(frozen=True, eq=False)
class RenderedPicture:
    """A picture of one unit, or of a whole layer, and what was measured on it."""

    unit: Unit
    kind: str  # name of the kind of picture
    title: str  # "conv1:3", or for a class "ring (fc:2)"
    pixels: Pixels = field(repr=False)  # (H, W, 3), sRGB
    record: Any = field(repr=False)  # numbers, of the kind's record type

    def save(self, path: Path | str) -> None:
        """Write the picture to a file, in the format that the file's ending names.

        Args:
            path: such as `unit.png`; PNG keeps every bit.

        Raises:
            SpecError: the ending names no format of images.
            OSError: the file cannot be written.
        """
        try:
            Image.fromarray(self.pixels).save(path)
        except ValueError as error:
            raise SpecError(f"cannot write {path}: {error}; give a name like unit.png") from error

    def _repr_png_(self) -> bytes:
        """What Jupyter shows."""
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def figure(self) -> str:
        """The picture as an HTML figure of at most `SHOWN_PX`, with nothing to load."""
        longer_px = max(self.pixels.shape[:2])
        scale = SHOWN_PX / longer_px
        style = ""
        if longer_px < SMALL_PX:  # its pixels are to be seen, all of one size
            scale, style = int(scale), ' style="image-rendering:pixelated"'
        height_px, width_px = (round(scale * side_px) for side_px in self.pixels.shape[:2])
        alt = html.escape(f"Picture of {self.title}, {self.kind}")
        data = base64.b64encode(self._repr_png_()).decode()
        return (
            f'<figure style="margin:0;width:{SHOWN_PX}px">'
            f'<img src="data:image/png;base64,{data}" alt="{alt}"'
            f' width="{width_px}" height="{height_px}"{style}>'
            f"<figcaption>{html.escape(self.title)}</figcaption></figure>"
        )


@dataclass(frozen=True, repr=False)
class Pictures(Sequence[RenderedPicture]):
    """Pictures in the order in which their units were asked for."""

    pictures: tuple[RenderedPicture, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> RenderedPicture: ...

    @overload
    def __getitem__(self, index: slice) -> Pictures: ...

    def __getitem__(self, index: int | slice) -> RenderedPicture | Pictures:
        if isinstance(index, slice):
            return Pictures(self.pictures[index])
        return self.pictures[index]

    def __repr__(self) -> str:
        titles = ", ".join(picture.title for picture in self.pictures[:N_SHOWN])
        return f"Pictures({titles}{', ...' if len(self) > N_SHOWN else ''})"

    def _repr_html_(self) -> str:
        """What Jupyter shows: a row of figures."""
        figures = "".join(picture.figure() for picture in self.pictures[:N_SHOWN])
        n_more = len(self) - N_SHOWN
        more = f"<p>{n_more:,} more are not shown.</p>" if n_more > 0 else ""
        row = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start"
        return f'<div style="{row}">{figures}</div>{more}'


def open_network(
    model: str | nn.Module = "",
    weights: str | Path | Mapping[str, Any] = "",
    labels: str | Path | Sequence[str] | Mapping[int, str] | None = None,
    device: str = "auto",
    catalogue: Catalogue = CATALOGUE,
    state_key: str = "",
    *,
    input_size_px: int | None = None,
    mean: float | Sequence[float] = (),
    std: float | Sequence[float] = (),
) -> Network:
    """A network with its weights loaded; published weights are downloaded if they are not there.

    Args:
        model: what the command takes after `--model`, such as "vgg16", "timm:resnet18" or
            "net.py:make"; empty for ResNet-50; or a module, which is copied with its weights, in
            float32.
        weights: a published name, a file, or a state dict, which is read as a file's; empty for
            those that were published first.
        labels: the class names for your own weights: a list, a dict by index, or a file.
        device: what to compute on, as after `--device`; auto takes a GPU if there is one.
        catalogue: the families that there are, beside those that are found by name.
        state_key: which of several networks in your file, such as `state_dict_ema`.
        input_size_px: side of the square that the network is given, if not the usual one.
        mean: per image channel, subtracted from values in 0..1, if not the usual one; one number
            is for all channels.
        std: per image channel, divided by, if not the usual one; one number is for all channels.

    Raises:
        SpecError: there is no such network, the labels do not fit, or an argument is none of these.
        NetworkError: the weights cannot be had, read, or do not fit.
        DeviceError: the device is not there.
    """
    family = _family(model, catalogue)
    state = weights if isinstance(weights, Mapping) else None
    if state is None and not isinstance(weights, str | Path):
        raise SpecError(
            f"weights are a {type(weights).__name__}; give a name, a file, or a state dict"
        )
    asked = AtlasSpec(
        family=family.name,
        weights="" if state is not None else str(weights),
        state_key=state_key,
        preparation=_preparation(family, input_size_px, mean, std),
    )
    network = load_network(asked, family, catalogue.families, find_device(str(device)), state)
    for remark in network.facts.remarks:
        say_line(remark)
    given = Path(labels) if isinstance(labels, str) else labels
    network.facts = with_labels(network.facts, given)
    return network


def _family(model: str | nn.Module, catalogue: Catalogue) -> Family:
    if isinstance(model, str):
        return find_family(model, catalogue.families)
    from atlas.families.custom import family_in_memory

    return family_in_memory(model)


def _preparation(family: Family, size_px: object, mean: object, std: object) -> Preparation:
    """How images are prepared, from what a program gives.

    Raises:
        SpecError: these are no numbers.
    """
    if size_px is not None and not isinstance(size_px, SupportsIndex):
        raise SpecError(f"an input size of {size_px!r}; give a whole number of pixels")
    means, stds = _numbers("mean", mean), _numbers("std", std)
    usual = family.weights[family.default_weights].preprocessing().mean
    n_channels = max(len(means), len(stds))
    n_channels = n_channels if n_channels > 1 else len(usual)
    return Preparation(
        None if size_px is None else operator.index(size_px),
        means * n_channels if isinstance(mean, Real) else means,
        stds * n_channels if isinstance(std, Real) else stds,
    )


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    """A number, or several in a list, tuple, array or tensor."""
    try:
        if isinstance(given, str):
            raise TypeError
        return (float(given),) if isinstance(given, Real) else tuple(map(float, given))
    except (TypeError, ValueError, RuntimeError):
        raise SpecError(
            f"{name} is {displayable(repr(given), 60)}; give a number, or one for each image "
            "channel"
        ) from None


def render(
    network: Network,
    units: Units,
    kind: str = "excitatory",
    preset: PresetName = "standard",
    recipe: RecipeName = "fourier",
    seed: int = 0,
    catalogue: Catalogue = CATALOGUE,
) -> Pictures:
    """Pictures of some units, the same as in an atlas, in the order of the units.

    A kind that is made for whole layers gives one picture for each layer of the units; one that is
    made for a sample of a layer gives those of the units that are in the sample.

    Args:
        network: as `open_network` gives it.
        units: a unit; a layer; a text such as "conv1:3", "conv1:0-3,8", "conv1" or "layer3.*"; a
            class, by label or index; or several of these.
        kind: name of a kind of picture, as in `KINDS`.
        preset: preview, standard or fine.
        recipe: fourier or progressive.
        seed: another seed gives other pictures.
        catalogue: the kinds that there are.

    Raises:
        SpecError: the network has no such layer, unit or class, or the kind cannot be rendered
            for them: it gives no pictures, or is made from photographs or other artifacts.
        DeviceError: not even one picture fits into memory.
        NetworkError: a unit's response is not finite.
    """
    _refuse_unknown("preset", preset, get_args(PresetName))
    _refuse_unknown("recipe", recipe, get_args(RecipeName))
    (wanted,) = find_kinds([kind], catalogue.kinds)
    asked = AtlasSpec(family=network.facts.family, recipe=recipe, preset=preset, seed=seed)
    if wanted.needs_images or wanted.sources_of(asked):
        raise SpecError(
            f"kind {kind!r} is made from photographs or other artifacts; build an Atlas for it"
        )
    chosen = _chosen(units, network.facts)
    if not chosen:
        return Pictures(())
    jobs = _jobs(asked, network.facts, wanted, chosen)
    made = {picture.unit: picture for picture in _made(network, wanted, jobs)}
    asked_for = _in_order(wanted, chosen, network.facts)
    return Pictures(tuple(made[unit] for unit in asked_for if unit in made))


def _refuse_unknown(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise SpecError(f"no {what} {name!r}; there are {', '.join(known)}")


def _chosen(units: Units, facts: NetworkFacts) -> tuple[Unit, ...]:
    """The units that are meant, each once, in the order in which they are named."""
    parts = [units] if isinstance(units, Unit | Layer | str) else units
    chosen = (unit for part in parts for unit in _units_of(part, facts))
    return tuple(dict.fromkeys(chosen))


def _units_of(part: Unit | Layer | str, facts: NetworkFacts) -> Sequence[Unit]:
    if isinstance(part, Layer):
        return _units_of(part.name, facts)
    if isinstance(part, Unit):
        return _units_of(part.id, facts)
    return units_named(part, facts)


def _jobs(
    asked: AtlasSpec, facts: NetworkFacts, kind: Kind[Any], chosen: Sequence[Unit]
) -> Sequence[Job]:
    by_layer: dict[str, list[Unit]] = {}
    for unit in chosen:
        by_layer.setdefault(unit.layer, []).append(unit)
    units = {name: tuple(of_layer) for name, of_layer in by_layer.items()}
    if jobs := jobs_of(asked, facts, (kind,), units, ()):
        return jobs
    if not any(kind.is_possible(asked, facts.layer(name), facts) for name in units):
        raise SpecError(f"nothing of kind {kind.name!r} can be made: it needs {kind.needs}")
    raise SpecError(
        f"none of these units is in the sample that kind {kind.name!r} is made for; "
        "ask for a whole layer"
    )


def _in_order(kind: Kind[Any], chosen: Sequence[Unit], facts: NetworkFacts) -> Iterator[Unit]:
    """What the pictures are of, in the order of the units that were asked for."""
    of_units = (kind.scope.units(facts.layer(unit.layer), (unit,)) for unit in chosen)
    return iter(dict.fromkeys(unit for units in of_units for unit in units))


def _made(network: Network, kind: Kind[Any], jobs: Sequence[Job]) -> Iterator[RenderedPicture]:
    for batch in load(kind.make)(Renderer(network), jobs):
        for made in Launch(kind, batch).wait():
            if not isinstance(made, Picture):
                raise SpecError(
                    f"kind {kind.name!r} gives numbers and no pictures; build an Atlas for it"
                )
            title = name_of(made.unit, network.facts)
            pixels = made.pixels.copy()  # of the batch only this part is kept
            yield RenderedPicture(made.unit, kind.name, title, pixels, made.record)
