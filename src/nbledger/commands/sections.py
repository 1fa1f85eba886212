"""The verbs by what somebody is about to do, as ``nbledger --help`` lists them."""

from __future__ import annotations

import click

from nbledger.core.errors import UsageError, nearest

SECTIONS = {
    "Begin": ("init", "join", "status", "doctor", "trust"),
    "Data and runs": ("track", "checkpoint", "undo", "runs", "show", "compare", "check", "reproduce"),
    "Batches and pipelines": ("run", "stage", "split", "code", "pipeline", "repro", "flush"),
    "Together": ("push", "pull", "gc", "server"),
    "Models": ("promote", "approve", "rollback", "decisions", "lineage", "deploy", "drift"),
    "Review and CI": ("report", "ci"),
}
_WHOLE = 160
_WIDEST = max(len(name) for names in SECTIONS.values() for name in names)


class Verbs(click.Group):
    """A group whose help has sections, and that answers a misspelt verb with the nearest ones."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            known = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name.ljust(_WIDEST), verb.get_short_help_str(_WHOLE)) for name, verb in known if verb is not None]
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            raise UsageError(f"there is no verb {name!r}", nearest(name, known) or f"there are: {', '.join(known)}")
        return super().resolve_command(ctx, args)
