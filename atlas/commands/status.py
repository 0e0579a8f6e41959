"""`atlas status`: what is done, what is missing, and how long that will take."""

from __future__ import annotations

from atlas.asked import AtlasSpec
from atlas.commands.options import atlas_options
from atlas.commands.program import sub_command
from atlas.console import say
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.progress import Progress, interval
from atlas.status import Status


@sub_command(short_help="What is done, what is missing, and how long that will take.")
@atlas_options
def status(spec: AtlasSpec, places: Places, progress: Progress) -> None:
    """Say what is done and what is missing, the disk used, and the time left.

    The time comes from the speed measured on this machine so far. Takes the options of a build.
    """
    with Atlas(spec, places, progress=progress) as atlas:
        show_status(atlas.status())


def show_status(status: Status) -> None:
    """How much of an atlas is done, layer by layer."""
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


def show_work(name: str, status: Status) -> None:
    """How much is missing of an atlas, in operations as well."""
    n_units = sum(layer.n_units for layer in status.facts.layers)
    left = "" if status.seconds_left is None else f", {interval(status.seconds_left)} left"
    say(
        f"{name}: {n_units:,} units, {status.n_done:,} of {status.n_asked:,} pictures and panels "
        f"are done; {2 * status.missing_macs / 1e15:,.3g} PFLOP missing{left}."
    )
