"""Groups of commands."""

from __future__ import annotations

import click

from detect.errors import did_you_mean


class Group(click.Group):
    """A click group that names the nearest command after a typo, and prints its help when no command is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse like click, but print the help when there are no arguments: releases of click differ there."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command like click, but fail with one line that names the known commands."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]}{did_you_mean(args[0], known)}; known: {', '.join(known)}")
        return super().resolve_command(ctx, args)
