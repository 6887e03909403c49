"""Commands that hold commands."""

from __future__ import annotations

import click

from detect.errors import nearest


class Group(click.Group):
    """As click's, with a hint at the nearest name; without a command its help, on lines of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; releases of click differ in what they do without arguments."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; one line names what is known where the name is not."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]}{nearest(args[0], known)}; known: {', '.join(known)}")
        return super().resolve_command(ctx, args)
