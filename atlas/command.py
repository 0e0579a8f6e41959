"""The command: `atlas`, or `python build.py`. A thin shell over `atlas.pipeline`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import click
from click.core import ParameterSource

from atlas import __version__, paths
from atlas.asked import AtlasSpec, Preparation, Selection
from atlas.cache import FILE_NAME, Cache, Findings, remove_cache
from atlas.cluster import cluster_of
from atlas.comparing.comparison import N_PICTURED, Comparison, Ranking
from atlas.comparing.ranking import most_changed
from atlas.console import Terminated, prepare_streams, say, say_line, terminable
from atlas.errors import AtlasError, SiteError, SpecError
from atlas.families import DEFAULT_NAME, FAMILIES, FINDERS, find_family
from atlas.families.family import RECOMMENDED, Family, Finder
from atlas.files import is_regular
from atlas.kinds import KINDS, find_kinds
from atlas.many import Line, chosen_lines, read_lines
from atlas.memory import too_little
from atlas.on_demand import ON_DEMAND, OnDemand, caricature, like, mix, variants
from atlas.on_demand.page import Request, pages_of
from atlas.pipeline import Atlas, Places, ShardReport, Status
from atlas.plan import with_sources
from atlas.progress import Progress, interval, progress_on
from atlas.selection import parse_ranges, select_layers, unit_named
from atlas.serving import ADDRESS, Server
from atlas.sharding import Shard
from atlas.site.resources import IS_CLONE
from atlas.text import displayable

if TYPE_CHECKING:  # --help and status load no image library
    from atlas.plan import StageTime
    from atlas.site.budget import Part
    from atlas.site.checking import SiteFindings


def _flag_name(family: Family) -> str:
    return f"is_{family.name}"


PROGRAM = "python build.py" if IS_CLONE else "atlas"
N_CHANGED = 10  # units that `compare` prints
WITH_FAILURES = 3  # the site was built, without what could not be made
INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT and SIGTERM, as shells report them
KIND_TABLE = "\n".join(f"  {kind.name:12} {kind.about}" for kind in KINDS)
MODELS = (*FINDERS[::-1], *FAMILIES)  # the usual way to name a network first
MODEL_TABLE = "\n".join(
    f"  {each.form if isinstance(each, Finder) else each.name:18} {each.about}" for each in MODELS
)
NETWORK_OPTIONS = {"model", "weights", "state_key", "input_size", "mean", "std"}
# Of a build; bench takes --cache so that scripts can give it to all commands, and leaves it alone.
BENCH_OPTIONS = {*NETWORK_OPTIONS, "layers", "preset", "device", "cache", "as_json", "quiet"}
MANY_OPTIONS = {"file", "only", "dry_run"}
FOR_ALL = {"out", "cache", "atlas_name", "quiet", "shard", "dry_run"}  # not in a line of `many`
IDLE_WITHOUT_SITE = {"out", "base_url", "leave_out", "atlas_name", "names"}
IDLE_IN_COMPARE = {"weights", "kinds", "names", "base_url", "leave_out", "atlas_name"}
INDEX_PAGE = re.compile(rf"(?<=/){re.escape(paths.INDEX)}$")
EXAMPLES = [
    *(example for each in MODELS for example in each.examples),
    ("--weights mine.pth --labels names.txt", "your own weights"),
    ("like cat.jpg", "which units does this image drive?"),
    ("caricature cat.jpg", "what do layers keep of it?"),
    ("mix conv1:3 conv1:8", "two units in one picture"),
    ("variants layer4.1.conv2:100", "several facets of one unit"),
    ("compare before.pth after.pth", "which units did fine-tuning change?"),
    ("many networks.txt", "an atlas of each of its lines"),
    ("--shard 2/8 --cache shard-2", "one of eight machines"),
    ("merge shard-*", "what they made, in one cache"),
]
EXAMPLE_TABLE = "\n".join(f"  {PROGRAM} {arguments:42} {does}" for arguments, does in EXAMPLES)
EPILOG = f"""\b
Networks, after --model:
{MODEL_TABLE}

\b
Kinds, in the order of making:
{KIND_TABLE}

\b
Examples:
{EXAMPLE_TABLE}
"""


class OnceEach(click.Command):
    """Refuses an option that is given twice where only the last would count."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after counting."""
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for parameter, count in Counter(order).items():
            is_single = isinstance(parameter, click.Option) and not (
                parameter.multiple or parameter.is_flag
            )
            if count > 1 and is_single:
                raise SpecError(f"{parameter.opts[0]} is given {count} times; give it once")
        return super().parse_args(ctx, args)


class Command(OnceEach, click.Group):
    """Turns errors that the user can mend into one line and exit code 2."""

    command_class = OnceEach

    def main(self, *args: Any, **options: Any) -> Any:
        """Run on any console, and explain what cannot be understood."""
        prepare_streams()
        try:
            return super().main(*args, **options)
        except AtlasError as error:
            say_line(f"Error: {error}")
            sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and explain what went wrong."""
        try:
            with terminable():
                return super().invoke(ctx)
        except AtlasError as error:
            say_line(f"Error: {error}")
            ctx.exit(2)
        except (MemoryError, RuntimeError, OSError, ImportError) as error:
            if (known := too_little(error)) is None:
                raise
            say_line(f"Error: {known}")
            ctx.exit(2)
        except KeyboardInterrupt as error:
            say_line(
                "Stopped. Everything rendered so far is kept; run the same command again to go on."
            )
            ctx.exit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED)


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
    callback=lambda _ctx, _option, name: _atlas_name(name),
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
        help="Make everything on workers: of the Ray cluster at an ADDRESS; auto takes the one "
        "that runs, else this machine; local is this machine.",
    )
    cores = click.option(
        "--cores-per-worker",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cores of a processor that each worker of --cluster takes.",
    )
    return cluster(cores(command))


def atlas_options(
    command: Callable[..., Any], out_option: Callable[..., Any] = out_option
) -> Callable[..., Any]:
    """The options that say which atlas is meant, as one AtlasSpec and one Places."""
    options = [
        click.option(
            "--model",
            metavar="NETWORK",
            show_default=DEFAULT_NAME,
            help="The network, explained below.",
        ),
        *(
            click.option(family.flag, _flag_name(family), is_flag=True, help=family.about)
            for family in FAMILIES
            if family.flag
        ),
        click.option(
            "--weights",
            metavar="NAME|FILE",
            help="Published weights, those published first if left out and those recommended with "
            f"{RECOMMENDED}; or your own checkpoint: .pth or .safetensors, any number of classes.",
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
        click.option(
            "--std", metavar="NUMBERS", help="What colours are then divided by, per channel."
        ),
        click.option(
            "--labels",
            type=click.Path(path_type=Path),
            help="Class names for your weights: one per line, JSON or CSV.",
        ),
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
            help="Only these of what a unit can have, explained below; all of them if left out.",
        ),
        click.option(
            "--images",
            type=click.Path(path_type=Path),
            metavar="FOLDER|TAR",
            help="Photographs, or .tar archives of them: how far do real images drive each unit?",
        ),
        click.option(
            "--seed", type=int, default=0, show_default=True, help="Another seed, other pictures."
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="NAME",
            help="cpu, cuda, cuda:1, mps; auto takes a GPU if there is one. A build takes several "
            "as well, such as cuda:0,cuda:1, or all GPUs of this machine with all.",
        ),
        click.option(
            "--base-url",
            default="",
            metavar="URL",
            help="Where the site will be published: for previews in social networks only.",
        ),
        click.option(
            "--leave-out",
            multiple=True,
            metavar="KINDS",
            help="Kinds that were made but are not to be in the site, to make it smaller.",
        ),
        out_option,
        atlas_option,
        cache_option,
        click.option(
            "--quiet",
            is_flag=True,
            help="Show no progress; results, warnings and errors are said all the same.",
        ),
    ]

    @functools.wraps(command)
    def with_atlas(*args: Any, **params: Any) -> Any:
        spec, places, progress = _asked(params)
        return command(*args, spec=spec, places=places, progress=progress, **params)

    return functools.reduce(lambda wrapped, option: option(wrapped), options[::-1], with_atlas)


def _asked(params: dict[str, Any]) -> tuple[AtlasSpec, Places, Progress]:
    """What the options of `atlas_options` ask for, which are taken out of `params`.

    Raises:
        SpecError: they contradict each other, or one of them cannot be understood.
    """
    take = params.pop
    weights, images, out, name = (take(each) for each in ("weights", "images", "out", "atlas_name"))
    layers, units, classes = (take(each) for each in ("layers", "units", "classes"))
    if weights is not None and not weights.strip():
        raise SpecError("--weights is empty; give a name or a file, or leave it out")
    flags = {family.name: take(_flag_name(family)) for family in FAMILIES if family.flag}
    spec = AtlasSpec(
        family=_model(take("model"), flags),
        weights=weights or "",
        state_key=take("state_key"),
        labels=take("labels"),
        recipe=take("recipe"),
        preset=take("preset"),
        seed=take("seed"),
        selection=Selection(
            layers=_parts("--layers", layers),
            units=parse_ranges(",".join(_parts("--units", units))) if units else (),
            classes=_parts("--classes", classes) and classes,
        ),
        kinds=_kinds("--kinds", take("kinds")),
        preparation=Preparation(
            _side(take("input_size")),
            _numbers("--mean", take("mean")),
            _numbers("--std", take("std")),
        ),
    )
    _refuse_idle_images(images, spec)
    places = Places(
        out / name if name else out,
        take("cache"),
        take("device"),
        published_at(take("base_url")),
        site_dir=out if name else None,
        left_out=_kinds("--leave-out", take("leave_out")),
        images_dir=images,
        names_path=take("names"),
    )
    return spec, places, progress_on(sys.stderr, is_quiet=take("quiet"))


@click.group(
    cls=Command,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="atlas")
@atlas_options
@click.option(
    "--shard",
    metavar="K/N",
    help="Make only the K-th of N parts of equal work, and no site: for several machines, each "
    "with a --cache of its own, which `merge` joins.",
)
@worker_options
@click.option("--dry-run", is_flag=True, help="Say what would be rendered, and render nothing.")
@click.pass_context
def main(
    ctx: click.Context,
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
    shard: str | None,
    dry_run: bool,
    cluster: str | None,
    cores_per_worker: int | None,
) -> None:
    """Build the atlas of a convolutional network: a page for every unit, as a static site.

    Every conv layer and every class of the network is walked. For each unit the site shows its
    weights, pictures of what drives it up and down, and what it answers to noise and photographs.
    What was made once is kept: stop at any time, and the same command goes on where it stopped.
    While it works, the site of what is there so far is written now and then.
    """
    if ctx.invoked_subcommand:  # options given before a sub-command are its defaults
        sub_command = main.commands[ctx.invoked_subcommand]
        names = {parameter.name for parameter in sub_command.params if parameter.name}
        _refuse_idle(ctx, names, ctx.invoked_subcommand)
        ctx.default_map = {ctx.invoked_subcommand: _given(ctx)}
        return
    from atlas.site.atlases import parts_of_all

    begun = time.perf_counter()
    part = Shard.parsed(shard) if shard is not None else None
    workers = cluster_of(cluster, places.device, cores_per_worker)
    if part:
        _refuse_idle(ctx, ctx.params.keys() - IDLE_WITHOUT_SITE, "--shard")
        if workers:
            raise SpecError(
                "--shard cannot be combined with workers, who share a build by themselves; give "
                "--cluster alone, or --shard with one --device"
            )
    places = dataclasses.replace(places, shard=part, cluster=workers)
    with Atlas(spec, places, progress=progress) as atlas:
        if dry_run:
            _show_status(atlas.status())
            return
        if part:
            _show_shard(part, atlas.build_shard(part), places, time.perf_counter() - begun)
            return
        built = atlas.build()
    report = built.site
    say(
        f"{built.n_made:,} pictures and panels made, {built.n_there:,} were there; "
        f"{interval(time.perf_counter() - begun)} in all."
    )
    if built.stages:
        say(_spell_stages(built.stages))
    say(
        f"{report.n_pages:,} pages, {report.n_files:,} files, {report.n_bytes / 1e6:,.1f} MB: "
        f"{report.n_written:,} written, {report.n_unchanged:,} unchanged, "
        f"{report.n_removed:,} removed.\n"
        f"{_spell_parts(report.parts)}\n"
        f"Open {places.front_page}, or run: {PROGRAM} serve"
    )
    for note in built.notes:
        click.echo(note, err=True)
    _warn(parts_of_all(places.site_dir) if places.site_dir else report.parts)
    if built.failures:
        for failure in built.failures:
            say_line(f"Not made: {failure}")
        ctx.exit(WITH_FAILURES)


@main.command(short_help="What is done, what is missing, and how long that will take.")
@atlas_options
def status(spec: AtlasSpec, places: Places, progress: Progress) -> None:
    """Say what is done and what is missing, the disk used, and the time left.

    The time comes from the speed measured on this machine so far. Takes the options of a build.
    """
    with Atlas(spec, places, progress=progress) as atlas:
        _show_status(atlas.status())


@main.command(short_help="How fast this machine is, and how long the whole atlas would take.")
@atlas_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(spec: AtlasSpec, places: Places, progress: Progress, as_json: bool) -> None:
    """Measure this machine: our recipe against the plain loop, one image at a time.

    Both sides are timed in turns, at the same sizes and steps; figures are medians. One layer per
    stage is measured, or those of --layers. Takes about two minutes, and of the options of a build
    --model, --weights, --input-size, --mean, --std, --layers, --preset and --device. Nothing is
    read from a --cache or written to it.
    """
    flags = {_flag_name(family) for family in FAMILIES}
    _refuse_idle(click.get_current_context(), BENCH_OPTIONS | flags, "bench")
    from atlas.bench import bench as measure
    from atlas.bench import table
    from atlas.devices import find_device
    from atlas.network.load import load_network

    network = load_network(spec, find_family(spec.family), device=find_device(places.device))
    for remark in network.facts.remarks:
        say_line(remark)
    result = measure(network, spec, progress)
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else table(result))


@main.command(short_help="Which networks there are, with their units and weights.")
def models() -> None:
    """List the convolutional networks of torchvision, with their units and published weights.

    Those after --model that are not listed: your own networks, and those of timm, which
    timm.list_models() lists. Takes some seconds.
    """
    from atlas.families.torchvision import listed

    say(f"{'--model':20} {'':24} {'units':>7} {'weights':>9}  --weights")
    for network in listed():
        say(
            f"{network.name:20} {network.title:24} {network.n_units:7,} "
            f"{network.file_mb:6,.0f} MB  {', '.join(network.weights)}"
        )


@main.command(like.KIND.name, short_help="Which units an image drives hardest, and a page of them.")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@atlas_options
def look_up(photos: tuple[Path, ...], spec: AtlasSpec, places: Places, progress: Progress) -> None:
    """Show PHOTOS to the network: which units does each drive hardest, layer by layer?

    Prints the strongest of each layer, in sigmas, and adds a page for each photo to the site, with
    the photo itself on it: mind that before you publish. `clean likes` forgets them all. Takes the
    options of a build; give the same ones, as the site is brought up to date with them.
    """
    with Atlas(spec, places, progress=progress) as atlas:
        _answer(atlas, [like.request(photo, atlas.facts) for photo in photos])


@main.command(
    caricature.KIND.name, short_help="What layers keep of a photograph, as pictures on a page."
)
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@atlas_options
def draw_caricatures(
    photos: tuple[Path, ...], spec: AtlasSpec, places: Places, progress: Progress
) -> None:
    """Draw what layers keep of PHOTOS: pictures that a layer answers to as to the photo.

    --layers says at which layers; left out, it is the last one of each stage. Prints how like the
    layer's answers are, and adds a page for each photo to the site, with the photo itself on it:
    mind that before you publish. `clean caricatures` forgets them all. Takes the options of a
    build; give the same ones, as the site is brought up to date with them.
    """
    _refuse_progressive(spec, caricature.KIND)
    with Atlas(spec, places, progress=progress) as atlas:
        asked, facts = spec.selection.layers, atlas.facts
        layers = select_layers(asked, facts) if asked else caricature.last_of_stages(facts)
        _answer(
            atlas,
            [each for photo in photos for each in caricature.requests(photo, layers, spec, facts)],
        )


@main.command(mix.KIND.name, short_help="Two units in one picture, and the steps between them.")
@click.argument("first", metavar="UNIT")
@click.argument("second", metavar="UNIT")
@atlas_options
def mix_units(first: str, second: str, spec: AtlasSpec, places: Places, progress: Progress) -> None:
    """Draw two units in one picture, and the steps from one to the other.

    A UNIT is layer:index, such as layer3.2.conv2:17, or a class, by label or index. They may be of
    different layers. Prints what each unit answers to each picture, and adds a page to the site.
    `clean mixes` forgets them all. Takes the options of a build; give the same ones, as the site is
    brought up to date with them.
    """
    _refuse_progressive(spec, mix.KIND)
    with Atlas(spec, places, progress=progress) as atlas:
        one, other = (unit_named(each, atlas.facts) for each in (first, second))
        _answer(atlas, [mix.request(one, other, spec, atlas.facts)])


@main.command(variants.KIND.name, short_help="Several pictures of one unit that are pushed apart.")
@click.argument("unit", metavar="UNIT")
@click.option(
    "--count",
    type=click.IntRange(1, variants.MAX_COUNT),
    default=variants.COUNT,
    show_default=True,
    help="How many, beside the unit's own picture.",
)
@atlas_options
def draw_variants(
    unit: str, count: int, spec: AtlasSpec, places: Places, progress: Progress
) -> None:
    """Draw several pictures of one UNIT, each unlike the others: its facets.

    A UNIT is layer:index, such as layer4.1.conv2:100, or a class, by label or index. Prints what
    the unit answers to each picture and how like its own picture that is, and adds a page to the
    site. `clean variants` forgets them all. Takes the options of a build; give the same ones, as
    the site is brought up to date with them.
    """
    _refuse_progressive(spec, variants.KIND)
    with Atlas(spec, places, progress=progress) as atlas:
        asked = unit_named(unit, atlas.facts)
        _answer(atlas, [variants.request(asked, count, spec, atlas.facts)])


@main.command(short_help="Which units differ most between two weight sets, as a site.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@functools.partial(atlas_options, out_option=out_option_of(Path("compare-site")))
@click.option(
    "--pictured",
    type=click.IntRange(min=0),
    default=N_PICTURED,
    show_default=True,
    help="Units of each layer, the most changed, that get a page with the pictures of both.",
)
@click.option(
    "--labels-b",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Class names of B, in the forms of --labels, which are those of A.",
)
def compare(
    a: str,
    b: str,
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
    pictured: int,
    labels_b: Path | None,
) -> None:
    """Compare two weight sets A and B of one network: names of published weights, or files.

    Each unit of A is compared with its partner in B: their answers to the same images (--images,
    else those that come with the network, else generated ones), their weights, and what each
    answers to the other's picture. Units are ranked by their answers. Classes are compared label by
    label where the labels of both are known: published, or given with --labels and --labels-b.
    Pictures that are in the cache are used, and those that are missing are rendered for the most
    changed units. What was measured is kept: stop at any time, and the same command goes on.
    """
    ctx = click.get_current_context()
    _refuse_idle(ctx, ctx.params.keys() - IDLE_IN_COMPARE, "compare")
    sides = Comparison(spec, (a, b), places, pictured, progress=progress, labels_b=labels_b)
    with sides as comparison:
        ranking, report = comparison.build()
    _show_changes(ranking)
    say(
        f"{report.n_pages:,} pages, {report.n_files:,} files, {report.n_bytes / 1e6:,.1f} MB.\n"
        f"Open {places.out_dir / paths.INDEX}, or run: {PROGRAM} serve --out {places.out_dir}"
    )


@main.command(short_help="Atlases of several networks, one after the other, in one site.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--only", metavar="NAMES", multiple=True, help="Only these of them.")
@click.option("--dry-run", is_flag=True, help="Say how much work each is, and render nothing.")
@worker_options
@functools.partial(atlas_options, out_option=out_option_of(Path("site")))
@click.pass_context
def many(
    ctx: click.Context,
    file: Path,
    only: tuple[str, ...],
    dry_run: bool,
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
    cluster: str | None,
    cores_per_worker: int | None,
) -> None:
    """Build the atlases of the networks in FILE, with one cache, one site and a landing page.

    Each line of FILE is the name of an atlas and, after it, options of a build: `vgg16 --model
    vgg16 --images photos`. What follows a # is a comment. Options that are given here count for
    all lines that do not give them. Paths are relative to the folder of the command. If one cannot
    be built, the others are, and the command ends with 3.
    """
    from atlas.site.atlases import parts_of_all

    if places.site_dir:
        raise SpecError("many has no use for --atlas; the names are in the file")
    cluster_of(cluster, places.device, cores_per_worker)  # refuses what contradicts itself
    given = {name: value for name, value in _given(ctx).items() if name not in MANY_OPTIONS}
    chosen = chosen_lines(read_lines(file), _parts("--only", only))
    asked = [(line, *_asked_in(line, given, file)) for line in chosen]
    failed = [
        line.name
        for line, spec_of_line, places_of_line in asked
        if not _build_one(line, spec_of_line, places_of_line, progress, dry_run)
    ]
    if not dry_run and len(failed) < len(chosen):
        say(f"Open {places.out_dir / paths.INDEX}, or run: {PROGRAM} serve")
        _warn(parts_of_all(places.out_dir))
    if failed:
        names = ", ".join(failed)
        say_line(f"Not built, or not whole: {names}; run the same command again to try again.")
        ctx.exit(WITH_FAILURES)


@main.command(short_help="Join the caches of shards into one.")
@click.argument(
    "caches", metavar="CACHE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@atlas_options
@click.pass_context
def merge(
    ctx: click.Context,
    caches: tuple[Path, ...],
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
) -> None:
    """Join the CACHEs that builds with --shard filled, into --cache.

    Every artifact is checked against its digest. Caches of another network, recipe or photographs
    are refused. What is made from other artifacts is made then, so that a build has only the site
    to write. Takes the options of a build; give those that the shards were made with. Ends with 0
    if nothing is missing, else with 1; shards that come later can be merged into the same cache.
    """
    from atlas.merging import adopt_digests
    from atlas.merging import merge as merge_caches

    _refuse_idle(ctx, ctx.params.keys() - IDLE_WITHOUT_SITE, "merge")
    adopt_digests(caches, places.cache_dir)
    with Atlas(spec, places, progress=progress) as atlas:
        report = merge_caches(atlas, caches)
    for damaged in report.damaged:
        say_line(f"Damaged, left out: {damaged}")
    say(
        f"{report.n_copied:,} artifacts copied, {report.n_made:,} made from them; "
        f"{report.n_asked - report.n_missing:,} of {report.n_asked:,} pictures and panels are done."
    )
    if not report.n_missing:
        say(f"Now {PROGRAM} with the same options writes the site.")
        return
    absent = f" (not merged: {', '.join(report.shards)})" if report.shards else ""
    say(f"{report.n_missing:,} are missing{absent}; merge the others, or {PROGRAM} makes them.")
    ctx.exit(1)


@main.command()
@out_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on.",
)
def serve(out: Path, port: int) -> None:
    """Serve the finished site on this machine only, to look at it."""
    if not is_regular(out / paths.INDEX):
        raise SiteError(f"no site in {out}; build one first with {PROGRAM}")
    with Server(out, port) as server, contextlib.suppress(KeyboardInterrupt):
        say(f"http://{ADDRESS}:{server.server_port}/  (Ctrl-C ends)")
        server.serve_forever()


@main.command(short_help="Remove the site, the cache, or some of what is in it.")
@click.argument(
    "what", type=click.Choice(["site", "cache", "damaged", *(kind.plural for kind in ON_DEMAND)])
)
@out_option
@atlas_option
@cache_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(what: str, out: Path, atlas_name: str | None, cache: Path, yes: bool) -> None:
    """Remove the built SITE, the CACHE of everything rendered, or what is DAMAGED in it.

    Of several atlases in a site all are removed, or the one that --atlas names.
    LIKES are the images that were looked up; CARICATURES, MIXES and VARIANTS are what these
    commands drew. Their pages go with the next build. Only files that a build made are removed.
    """
    if atlas_name and what != "site":
        raise SpecError(f"clean {what} has no use for --atlas; leave it out")
    if what not in ("site", "cache"):
        with Cache(cache, must_exist=True, alone=True) as open_cache:
            n_removed, noun = _clean_inside(open_cache, what)
            open_cache.free_space()
        say(f"{n_removed:,} {noun} removed.")
        return
    if atlas_name:
        _refuse_missing_atlas(out, atlas_name)
    folder = cache if what == "cache" else out / atlas_name if atlas_name else out
    if not yes:
        click.confirm(f"Remove the {what} in {folder}?", abort=True)
    n_files = remove_cache(cache) if what == "cache" else _remove_site(out, atlas_name)
    say(f"{n_files:,} files removed from {folder}.")


@main.command(short_help="Read the whole cache and site, and say what is damaged.")
@out_option
@cache_option
@click.option("--repair", is_flag=True, help="Let the next build make anew what is damaged.")
@click.pass_context
def verify(ctx: click.Context, out: Path, cache: Path, repair: bool) -> None:
    """Read everything in the cache and the site, and say what is not as it was made.

    Ends with 0 if all is well, with 1 if anything is damaged. A build notices damage in the cache
    by itself and makes it anew; pages that were changed by hand are found only here.
    """
    from atlas.site.atlases import atlas_folders
    from atlas.site.checking import check_site, distrust

    n_bad = 0
    if (cache / FILE_NAME).exists():
        with Cache(cache, must_exist=True, alone=repair) as open_cache:
            found = open_cache.verify()
            n_bad += _show_findings(cache, found)
            if repair:
                open_cache.set_aside()
    for folder in (out, *atlas_folders(out)) if out.is_dir() else ():
        site = check_site(folder)
        n_bad += _show_site_findings(folder, site)
        if repair and site.changed:
            distrust(folder, site.changed)
    if n_bad and repair:
        say(f"Set aside; the next build with {PROGRAM} makes it anew.")
    ctx.exit(1 if n_bad else 0)


def _refuse_missing_atlas(out: Path, name: str) -> None:
    from atlas.site.atlases import atlas_folders

    if not (out / name).is_dir():
        names = [folder.name for folder in atlas_folders(out)] if out.is_dir() else []
        there = f"there is {', '.join(names)}" if names else "there is none"
        raise SiteError(f"no atlas {displayable(name)!r} in {out}; {there}")


def _asked_in(line: Line, given: Mapping[str, Any], file: Path) -> tuple[AtlasSpec, Places]:
    """What a line of a file of networks asks for, with what was given for all of them."""
    try:
        _check_options(line.options)
        ctx = main.make_context(line.name, list(line.options), default_map=dict(given))
        params = {**ctx.params, "atlas_name": _atlas_name(line.name)}
        spec, places, _ = _asked(params)
        workers = cluster_of(params["cluster"], places.device, params["cores_per_worker"])
    except (click.ClickException, AtlasError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else error
        raise SpecError(f"{displayable(file.name)}, line {line.number}: {message}") from error
    return spec, dataclasses.replace(places, cluster=workers)


def _check_options(options: Sequence[str]) -> None:
    """Refuse what is no option of one build.

    Raises:
        SpecError: there is something else.
        UsageError: an option is unknown or lacks its value.
    """
    _, others, order = main.make_parser(click.Context(main)).parse_args(list(options))
    if others:
        raise SpecError(f"{displayable(others[0])!r} is no option of a build")
    for parameter in order:
        if parameter.name in FOR_ALL or parameter.is_eager:
            name = max(parameter.opts, key=len)
            raise SpecError(f"{name} is for all networks; give it to the command")


def _build_one(
    line: Line, spec: AtlasSpec, places: Places, progress: Progress, dry_run: bool
) -> bool:
    """Build one of several atlases, or say what it takes; returns whether that succeeded."""
    begun = time.perf_counter()
    try:
        with Atlas(spec, places, progress=progress) as atlas:
            if dry_run:
                _show_work(line.name, atlas.status())
                return True
            built = atlas.build()
    except AtlasError as error:
        say_line(f"Error: {line.name}: {error}")
        return False
    report = built.site
    say(
        f"{line.name}: {built.n_made:,} pictures and panels made, {built.n_there:,} were there; "
        f"{report.n_files:,} files, {report.n_bytes / 1e6:,.1f} MB; "
        f"{interval(time.perf_counter() - begun)}."
    )
    for note in built.notes:
        say(f"{line.name}: {note}", err=True)
    for failure in built.failures:
        say_line(f"{line.name}: not made: {failure}")
    return not built.failures


def _show_work(name: str, status: Status) -> None:
    """How much is missing of an atlas, in operations as well."""
    n_units = sum(layer.n_units for layer in status.facts.layers)
    left = "" if status.seconds_left is None else f", {interval(status.seconds_left)} left"
    say(
        f"{name}: {n_units:,} units, {status.n_done:,} of {status.n_asked:,} pictures and panels "
        f"are done; {2 * status.missing_macs / 1e15:,.3g} PFLOP missing{left}."
    )


def _clean_inside(cache: Cache, what: str) -> tuple[int, str]:
    """Remove some of what is in a cache; returns how many of what."""
    if what == "damaged":
        return len(cache.set_aside()), "damaged pictures"
    (kind,) = (kind for kind in ON_DEMAND if kind.plural == what)
    entries = cache.of_kind(kind.name)
    cache.remove(entry.key for entry in entries)
    return len(pages_of(entries, ON_DEMAND)), kind.noun


def _atlas_name(name: str | None) -> str | None:
    """The name of an atlas in a site of several, which is that of its folder."""
    if name is not None and name.lower() in paths.TAKEN_NAMES:
        raise SpecError(
            f"{displayable(name)!r} cannot be the name of an atlas: the site itself has "
            f"{', '.join(paths.TAKEN_NAMES)}; give another, such as --atlas resnet50-v2"
        )
    if name is not None and not paths.is_atlas_name(name):
        raise SpecError(
            f"{displayable(name)!r} cannot be the name of an atlas's folder; "
            "use letters, digits, '-', '_' and '.', such as --atlas resnet50-v2"
        )
    return name


def _remove_site(out: Path, atlas_name: str | None) -> int:
    """Remove the site, or one of its atlases; returns how many files."""
    from atlas.site.landing import remove_one, remove_whole, write_landing

    if atlas_name is None:
        return remove_whole(out)
    n_files = remove_one(out / atlas_name)
    write_landing(out)
    return n_files


def _model(model: str | None, flags: Mapping[str, bool]) -> str:
    """The network that was asked for, by its name or by its own flag."""
    asked = [*([model] if model else []), *(name for name, is_set in flags.items() if is_set)]
    if len(set(asked)) > 1:
        raise SpecError(f"{' and '.join(asked)} are two networks; ask for one of them")
    return asked[0] if asked else DEFAULT_NAME


def _side(text: str | None) -> int | None:
    """`224` or `224x224` as the side of a square; None if the option was left out."""
    if text is None:
        return None
    try:
        sides = {int(part) for part in re.split("[x,]", text)}
    except ValueError:
        raise SpecError(
            f"cannot read --input-size {text!r}; give the side of a square in pixels, such as 224"
        ) from None
    if len(sides) > 1:
        raise SpecError(
            f"--input-size {text} is not square; the atlas shows networks square images only: "
            f"give one side, such as {max(sides)}"
        )
    return sides.pop()


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    """`0.5,0.5,0.5` as numbers; none if the option was left out."""
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SpecError(
            f"cannot read {option} {text!r}; give a number per channel, such as 0.5,0.5,0.5"
        ) from None


def _parts(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    """The parts of lists with commas, of an option that may be given several times."""
    parts = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
    if texts and not parts:
        raise SpecError(f"{option} names nothing; leave it out to mean everything")
    return parts


def _kinds(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    """`excitatory,filter` as names of kinds."""
    names = _parts(option, texts)
    return tuple(kind.name for kind in find_kinds(names)) if names else ()


def _refuse_idle_images(images: Path | None, spec: AtlasSpec) -> None:
    """Refuse photographs where only kinds are asked for that do not look at any."""
    wanted = with_sources(find_kinds(spec.kinds), spec)
    if images and not any(kind.needs_images for kind in wanted):
        *others, last = (kind.name for kind in KINDS if kind.needs_images)
        known = f"{', '.join(others)} and {last}"
        raise SpecError(f"--images is for {known}, which --kinds leaves out; add them, or drop it")


def published_at(text: str) -> str:
    """The address of a site, without what belongs to one page of it.

    Raises:
        SpecError: it is no address that can be published.
    """
    try:
        parts = urlsplit(text)
        is_plain = not re.search(r"[\s\x00-\x20\x7f\"<>\\\\^`{|}]", text)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and is_plain
        is_usable = is_usable and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not match
        is_usable = False
    if text and not is_usable:
        raise SpecError(
            f"cannot use {text!r} as --base-url; write it like https://name.github.io/atlas/"
        )
    return urlunsplit((parts.scheme, parts.netloc, INDEX_PAGE.sub("", parts.path), "", ""))


def _refuse_idle(ctx: click.Context, names: Collection[str], command: str) -> None:
    """Refuse options that were given but that a command has no use for."""
    idle = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name in _given(ctx) and parameter.name not in names
    ]
    if idle:
        raise SpecError(f"{command} has no use for {', '.join(idle)}; leave it out")


def _given(ctx: click.Context) -> dict[str, Any]:
    """The options that were written on the command line, before a sub-command or after it."""
    written = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) in written
    }


def _spell_stages(stages: Sequence[StageTime]) -> str:
    """How long the synthesised pictures of each stage of the network took."""
    lines = [f"  {'synthesised':12} {'pictures':>8} {'time':>8} {'each':>9} {'GFLOP/s':>9}"]
    for stage in stages:
        each = f"{1000 * stage.seconds / stage.n_pictures:,.0f} ms"
        lines.append(
            f"  {stage.stage:12} {stage.n_pictures:8,} {interval(stage.seconds):>8} "
            f"{each:>9} {stage.flop_per_s / 1e9:9,.0f}"
        )
    return "\n".join(lines)


def _spell_parts(parts: Sequence[Part]) -> str:
    return "\n".join(
        f"  {part.name:12} {part.n_files:7,} files {part.n_bytes / 1e6:8,.1f} MB" for part in parts
    )


def _warn(parts: Sequence[Part]) -> None:
    from atlas.site.budget import warnings

    for warning in warnings(parts):
        say(f"Warning: {warning}.", err=True)


def _show_findings(cache: Path, found: Findings) -> int:
    """What was found in a cache; returns how much of it is damaged."""
    n_damaged = Counter(displayable(each.kind) for each in found.damaged)
    say(f"Cache {cache}")
    for kind in sorted({*found.n_sound, *n_damaged}):
        damaged = f"  {n_damaged[kind]:,} damaged" if n_damaged[kind] else ""
        say(f"  {kind:12} {found.n_sound.get(kind, 0):7,} sound{damaged}")
    for each in (*found.damaged, *found.others):
        say(f"  damaged: {each}")
    return len(found.damaged) + len(found.others)


def _show_site_findings(out: Path, found: SiteFindings) -> int:
    """What was found in a site; returns how many files are not as they were written."""
    unknown = f", {found.n_unknown:,} of an earlier version" if found.n_unknown else ""
    say(f"Site {out}\n  {found.n_right:,} files as they were written{unknown}")
    for word, names in (("changed", found.changed), ("missing", found.missing)):
        for path in names:
            say(f"  {word}: {displayable(path, 200)}")
    return len(found.changed) + len(found.missing)


def _answer(atlas: Atlas, requests: Sequence[Request]) -> None:
    """Make what was asked for, write the site, and say what came out and where it is."""
    pages = pages_of(atlas.on_demand(requests), ON_DEMAND)
    report = atlas.write()
    for page in pages:
        say(page.title)
        for entry in page.entries:
            for line in page.kind.lines(page.kind.record_of(entry), atlas.facts):
                say(f"  {line}".rstrip())
        say(f"Page: {atlas.places.out_dir / page.path}")
    say(f"{report.n_written:,} files written, {report.n_unchanged:,} unchanged.", err=True)


def _refuse_progressive(spec: AtlasSpec, kind: OnDemand[Any]) -> None:
    if spec.recipe != "fourier":
        raise SpecError(f"{kind.name} is made with the recipe fourier only; leave out --recipe")


def _show_changes(ranking: Ranking) -> None:
    """The most changed units, and what was left out."""
    if ranking.classes.words:
        say(f"Note: {ranking.classes.words}.", err=True)
    equal = sum(change.is_equal for change in ranking.layers)
    verb = "computes" if equal == 1 else "compute"
    say(f"{equal:,} of {len(ranking.layers):,} layers {verb} the same in both.")
    units = [unit for change in ranking.layers for unit in change.units if unit.change > 0]
    if units:
        answer = "unit answers" if len(units) == 1 else "units answer"
        say(f"{len(units):,} {answer} differently to {ranking.images}; most of all:")
    for unit in most_changed(units, lambda unit: unit.change)[:N_CHANGED]:
        partner = "" if unit.partner == unit.unit.index else f" (beside {unit.partner})"
        found = unit.answers
        answers = f"none, constant in {unit.constant}" if found is None else f"{found:.3f}"
        cosine = "" if unit.cosine is None else f", cosine of weights {unit.cosine:.3f}"
        say(f"  {unit.unit.id + partner:32} correlation {answers}{cosine}")


def _show_shard(shard: Shard, report: ShardReport, places: Places, seconds: float) -> None:
    say(
        f"Shard {shard}: {report.n_made:,} pictures and panels made, {report.n_there:,} were "
        f"there; {interval(seconds)} in all."
    )
    if report.stages:
        say(_spell_stages(report.stages))
    say(f"When all shards are done: {PROGRAM} merge {places.cache_dir} ...")


def _show_status(status: Status) -> None:
    facts = status.facts
    say(f"{facts.name}, weights {facts.weights} (sha256 {facts.sha256[:12]})")
    for layer in status.layers:
        state = (
            "done" if layer.n_done == layer.n_asked else f"{layer.n_asked - layer.n_done:,} missing"
        )
        say(f"  {layer.layer:24} {layer.n_done:6,} of {layer.n_asked:6,}  {state}")
    say(
        f"{status.n_done:,} of {status.n_asked:,} pictures and panels are done, "
        f"{status.n_asked - status.n_done:,} are missing; cache {status.cache_bytes / 1e6:,.1f} MB."
    )
    for worker in status.workers:
        say(f"  {worker}")
    if status.n_done < status.n_asked:
        left = "not measured yet" if status.seconds_left is None else interval(status.seconds_left)
        say(f"Time left at the speed measured so far: {left}")
