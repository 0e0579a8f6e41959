"""`atlas models`: which networks there are."""

from __future__ import annotations

from atlas.commands.program import sub_command
from atlas.console import say


@sub_command(short_help="Which networks there are, with their units and weights.")
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
