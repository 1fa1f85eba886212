"""``%ledger deploy`` as a notebook shows it: how a deployment ended or would go, and what is served on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from nbledger.commands import deploy as words
from nbledger.core.deploy import Deployed, Deployment
from nbledger_magics.display import _box as box
from nbledger_magics.tables import lines, marked, moment, notes, table, word


def deployed(found: Deployed) -> str:
    """The outcome; with ``--dry-run`` the steps."""
    headline, *rest = words.text(found).split("\n")
    if found.dry:
        steps = "".join(f"<li>{word(step, 2_000)}</li>" for step in found.steps)
        return box(f"<div><b>{word(headline, 200)}</b></div><ol>{steps}</ol>{notes(found.notes)}")
    kind = "good" if found.ok else "bad"
    said = headline.partition(" ")[2]
    shown = [line.strip() for line in rest if line.strip() and not line.strip().startswith("(")]
    return box(
        marked(kind, f'<span class="{kind}">{word(said, 400)}</span>')
        + "".join(f'<div class="soft">{word(line, 400)}</div>' for line in shown)
        + notes(found.notes)
    )


def listed(found: Sequence[Deployment] | Deployment) -> str:
    """One row a model that is served here; of one that is served no longer, what it was."""
    if isinstance(found, Deployment):
        return box(
            marked(
                "soft", f"{word(found.model, 80)} is not served at <code>{word(found.endpoint, 200)}</code> any more"
            )
        )
    rows = [
        (
            f'<span class="{_kind(one)}">{word("answers" if one.health == "ok" else one.health, 100)}</span>',
            word(one.model, 60),
            word(one.version or "–", 20)
            + (f' <span class="warn">{word(one.coming, 20)} is coming</span>' if one.coming else ""),
            f"<code>{word(one.endpoint, 200)}</code>",
            word(moment(one.since), 30),
            str(one.requests),
            str(one.failures),
            f'<span class="id">{word(one.digest, 10)}</span>',
        )
        for one in found
    ]
    head = ("health", "model", "version", "address", "since (UTC)", "requests", "failed", "digest")
    last = [f"{one.model}: {one.last}" for one in found if one.last]
    return box(table("", head, rows, (5, 6)) + lines(last, "warn"))


def _kind(one: Deployment) -> str:
    return "good" if one.health == "ok" else "warn" if one.health == "starting" else "bad"
