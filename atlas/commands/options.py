"""The options that several commands share, and what they ask for."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from atlas.asked import AtlasSpec, Preparation, Selection
from atlas.commands.program import PROGRAM
from atlas.commands.values import (
    atlas_name_of,
    items_of,
    kind_names_of,
    numbers_of,
    published_at,
    side_px_of,
)
from atlas.errors import SpecError
from atlas.families import DEFAULT_NAME, FAMILIES
from atlas.families.family import RECOMMENDED, Family
from atlas.kinds import KINDS, find_kinds
from atlas.places import Places
from atlas.plan import with_sources
from atlas.progress import Progress, progress_on
from atlas.selection import parse_ranges
from atlas.text import enumerated

# Parameters that only the writing of a site uses.
UNUSED_WITHOUT_SITE = {"out", "base_url", "leave_out", "atlas_name", "names"}


def flag_name(family: Family) -> str:
    """The parameter of the flag that stands for a network."""
    return f"is_{family.name}"


def out_option_of(folder: Path) -> Callable[..., Any]:
    """The option `--out`, with its default."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=folder,
        show_default=True,
        help="Folder of the finished site.",
    )


out_option = out_option_of(Places.out_dir)
atlas_option = click.option(
    "--atlas",
    "atlas_name",
    metavar="NAME",
    callback=lambda _ctx, _option, name: atlas_name_of(name),
    help="One of several atlases in the site: a folder of this name in --out, and a landing page.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Places.cache_dir,
    show_default=True,
    help="Folder of everything rendered so far.",
)


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that may have workers make everything."""
    cluster = click.option(
        "--cluster",
        metavar="auto|local|ADDRESS",
        help="Make everything on workers of a Ray cluster: the one at an ADDRESS, with auto one "
        "that runs or else this machine, with local this machine.",
    )
    cores = click.option(
        "--cores-per-worker",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cores of a processor that each worker of --cluster takes.",
    )
    return cluster(cores(command))


NETWORK_OPTIONS = (
    click.option(
        "--model",
        metavar="NETWORK",
        show_default=DEFAULT_NAME,
        help=f"The network, by a name of those that `{PROGRAM} --help` explains.",
    ),
    *(
        click.option(family.flag, flag_name(family), is_flag=True, help=family.about)
        for family in FAMILIES
        if family.flag
    ),
    click.option(
        "--weights",
        metavar="NAME|FILE",
        help="Published weights, those published first if left out and those recommended with "
        f"{RECOMMENDED}; or your own checkpoint: .pth, .safetensors or the index of several files, "
        "any number of classes.",
    ),
    click.option(
        "--state-key",
        default="",
        metavar="KEY",
        help="Which of several networks in your file, such as state_dict_ema.",
    ),
    click.option(
        "--input-size",
        metavar="PX",
        help="Side of the square images that your network takes.",
    ),
    click.option(
        "--mean",
        metavar="NUMBERS",
        help="What is subtracted from colours in 0..1, per channel, such as 0.5,0.5,0.5.",
    ),
    click.option("--std", metavar="NUMBERS", help="What colours are then divided by, per channel."),
    click.option(
        "--labels",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Class names for your weights: one per line, JSON or CSV.",
    ),
)
UNIT_OPTIONS = (
    click.option(
        "--names",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help='Names of units by hand: JSON, such as {"layer3.2.conv2:17": "curves"}.',
    ),
    click.option(
        "--layers",
        multiple=True,
        metavar="GLOBS",
        help='Only these layers, such as "conv1,layer3.*,fc".',
    ),
    click.option(
        "--units",
        multiple=True,
        metavar="RANGES",
        help="Only these units, such as 0-15,40.",
    ),
    click.option(
        "--classes",
        multiple=True,
        metavar="LABELS",
        help='Only these classes, by label or index, such as "goldfish,zebra,530".',
    ),
)
PICTURE_OPTIONS = (
    click.option(
        "--recipe",
        type=click.Choice(["fourier", "progressive"]),
        default="fourier",
        show_default=True,
        help="How pictures are made: ours, or the well-known tutorial's.",
    ),
    click.option(
        "--preset",
        type=click.Choice(["preview", "standard", "fine"]),
        default="standard",
        show_default=True,
        help="A first look at everything, the atlas itself, or pictures for print.",
    ),
    click.option(
        "--kinds",
        multiple=True,
        metavar="KINDS",
        help=f"Only these kinds of pictures and facts, which `{PROGRAM} --help` explains; all "
        "of them if left out.",
    ),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        metavar="FOLDER|TAR",
        help="Photographs, or .tar archives of them: how far do real images drive each unit?",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Of all random numbers; another seed gives other pictures.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="cpu, cuda, cuda:1, mps; auto takes a GPU if there is one. A build takes several "
        "as well, such as cuda:0,cuda:1, or all GPUs of this machine with all.",
    ),
)
SITE_OPTIONS = (
    click.option(
        "--base-url",
        default="",
        metavar="URL",
        help="Where the site will be published: for previews, citations and frames on other sites, "
        "which need whole addresses.",
    ),
    click.option(
        "--leave-out",
        multiple=True,
        metavar="KINDS",
        help="Kinds that were made but are not to be in the site, to make it smaller.",
    ),
)
quiet_option = click.option(
    "--quiet",
    is_flag=True,
    help="Show no progress; results, warnings and errors are said all the same.",
)


def atlas_options(
    command: Callable[..., Any], out_option: Callable[..., Any] = out_option
) -> Callable[..., Any]:
    """The options that say which atlas is meant, as one AtlasSpec and one Places."""
    options = (
        *NETWORK_OPTIONS,
        *UNIT_OPTIONS,
        *PICTURE_OPTIONS,
        *SITE_OPTIONS,
        out_option,
        atlas_option,
        cache_option,
        quiet_option,
    )

    @functools.wraps(command)
    def with_atlas(*args: Any, **params: Any) -> Any:
        spec, places, progress = asked_by(params)
        return command(*args, spec=spec, places=places, progress=progress, **params)

    return functools.reduce(lambda wrapped, option: option(wrapped), options[::-1], with_atlas)


def asked_by(params: dict[str, Any]) -> tuple[AtlasSpec, Places, Progress]:
    """What the options of `atlas_options` ask for, which are taken out of `params`.

    Raises:
        SpecError: they contradict each other, or one of them cannot be understood.
    """
    take = params.pop
    weights, images, out, name = (take(each) for each in ("weights", "images", "out", "atlas_name"))
    layers, units, classes = (take(each) for each in ("layers", "units", "classes"))
    items_of("--classes", classes)  # refuses a list without items
    model = take("model")
    for option, value in (("--model", model), ("--weights", weights)):
        if value is not None and not value.strip():
            raise SpecError(f"{option} is empty; give a name or a file, or leave it out")
    flags = {family.name: take(flag_name(family)) for family in FAMILIES if family.flag}
    spec = AtlasSpec(
        family=_model(model, flags),
        weights=weights or "",
        state_key=take("state_key"),
        labels=take("labels"),
        recipe=take("recipe"),
        preset=take("preset"),
        seed=take("seed"),
        selection=Selection(
            layers=items_of("--layers", layers),
            units=parse_ranges(",".join(items_of("--units", units))) if units else (),
            classes=classes,  # whole, since labels may have commas
        ),
        kinds=kind_names_of("--kinds", take("kinds")),
        preparation=Preparation(
            side_px_of(take("input_size")),
            numbers_of("--mean", take("mean")),
            numbers_of("--std", take("std")),
        ),
    )
    _refuse_unused_images(images, spec)
    places = Places(
        out / name if name else out,
        take("cache"),
        take("device"),
        published_at(take("base_url")),
        site_dir=out if name else None,
        left_out=kind_names_of("--leave-out", take("leave_out")),
        images_dir=images,
        names_path=take("names"),
    )
    return spec, places, progress_on(sys.stderr, is_quiet=take("quiet"))


def _model(model: str | None, flags: Mapping[str, bool]) -> str:
    """The network that was asked for, by its name or by its own flag."""
    asked = [*([model] if model else []), *(name for name, is_set in flags.items() if is_set)]
    if len(set(asked)) > 1:
        raise SpecError(f"{' and '.join(asked)} are two networks; ask for one of them")
    return asked[0] if asked else DEFAULT_NAME


def _refuse_unused_images(images: Path | None, spec: AtlasSpec) -> None:
    """Refuse photographs where only kinds are asked for that do not look at any."""
    wanted = with_sources(find_kinds(spec.kinds), spec)
    if images and not any(kind.needs_images for kind in wanted):
        known = enumerated([kind.name for kind in KINDS if kind.needs_images])
        raise SpecError(f"--images is for {known}, which --kinds leaves out; add them, or drop it")


def refuse_unused(ctx: click.Context, names: Collection[str], command: str) -> None:
    """Refuse options that were given but that a command has no use for."""
    unused = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name in given(ctx) and parameter.name not in names
    ]
    if unused:
        raise SpecError(f"{command} has no use for {', '.join(unused)}; leave it out")


def given(ctx: click.Context) -> dict[str, Any]:
    """The options that were written on the command line, before a sub-command or after it."""
    written = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) in written
    }
