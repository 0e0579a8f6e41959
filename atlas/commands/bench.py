"""`atlas bench`: how fast this machine is."""

from __future__ import annotations

import json

import click

from atlas.asked import AtlasSpec
from atlas.commands.options import atlas_options, flag_name, refuse_unused
from atlas.commands.program import sub_command
from atlas.console import say, say_line
from atlas.families import FAMILIES, find_family
from atlas.places import Places
from atlas.progress import Progress

OF_NETWORKS = {"model", "weights", "state_key", "input_size", "mean", "std"}
# --cache is among them so that scripts can give it to all commands; it is left alone.
BENCH_OPTIONS = {*OF_NETWORKS, "layers", "preset", "device", "cache", "as_json", "quiet"}


@sub_command(short_help="How fast this machine is, and how long the whole atlas would take.")
@atlas_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(spec: AtlasSpec, places: Places, progress: Progress, as_json: bool) -> None:
    """Measure this machine: our recipe against the plain loop, one image at a time.

    Both sides are timed in turns, at the same sizes and steps; figures are medians. One layer per
    stage is measured, or those of --layers. That takes about two minutes. Of the options of a
    build, --model or a flag that stands for one, --weights, --state-key, --input-size, --mean,
    --std, --layers, --preset, --device and --quiet can be given; a --cache is left alone.
    """
    flags = {flag_name(family) for family in FAMILIES}
    refuse_unused(click.get_current_context(), BENCH_OPTIONS | flags, "bench")
    from atlas.bench import bench as measure
    from atlas.bench import table
    from atlas.devices import find_device
    from atlas.network.load import load_network

    network = load_network(spec, find_family(spec.family), device=find_device(places.device))
    for remark in network.facts.remarks:
        say_line(remark)
    result = measure(network, spec, progress)
    say(json.dumps(result.to_json(), indent=2) if as_json else table(result))
