"""The command: `atlas`, or `python build.py`. Each sub-command is a file of `atlas/commands/`."""

from __future__ import annotations

from atlas.commands import (
    bench,
    clean,
    compare,
    many,
    merge,
    models,
    on_demand,
    serve,
    status,
    verify,
)
from atlas.commands.build import main

__all__ = ["main"]

COMMANDS = (
    status.status,
    bench.bench,
    models.models,
    on_demand.look_up,
    on_demand.draw_caricatures,
    on_demand.mix_units,
    on_demand.draw_variants,
    compare.compare,
    many.many,
    merge.merge,
    serve.serve,
    clean.clean,
    verify.verify,
)
for command in COMMANDS:
    main.add_command(command)
