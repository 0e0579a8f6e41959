"""How the command is called, how it ends, and what it says of errors."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from typing import Any

import click

from atlas.console import Terminated, prepare_streams, say_line, terminable
from atlas.errors import AtlasError, SpecError
from atlas.memory import too_little
from atlas.site.resources import IS_CLONE

PROGRAM = "python build.py" if IS_CLONE else "atlas"
WITH_FAILURES = 3  # the site was built, without what could not be made
INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT and SIGTERM, as shells report them


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


sub_command = functools.partial(click.command, cls=OnceEach)


class CommandGroup(OnceEach, click.Group):
    """Turns errors that the user can mend into one line and exit code 2."""

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
