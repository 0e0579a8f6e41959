"""`atlas serve`: look at the finished site."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from atlas import paths
from atlas.commands.options import out_option
from atlas.commands.program import PROGRAM, sub_command
from atlas.console import say
from atlas.errors import SiteError
from atlas.files import is_regular
from atlas.serving import ADDRESS, Server


@sub_command()
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
