"""A lineage as plain text: a table, one line a thing, or a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nbledger.commands.text import clip, some, table
from nbledger.core.ancestry_graph import CODE, DATA, MODEL, RUN, STAGE, Ancestry, Node
from nbledger.core.wording import size

_NAME, _FACTS, _WHERE, _LINES = 48, 70, 40, 1_000
_CALLED = {
    MODEL: ("model version", "model versions"),
    RUN: ("run", "runs"),
    CODE: ("commit", "commits"),
    STAGE: ("stage", "stages"),
    DATA: ("data version", "data versions"),
}


def lineage(found: Ancestry) -> str:
    """What it is about in a line, then a table by steps, then what is missing."""
    cells = [
        [str(node.step), node.kind, _name(node), clip(_facts(node, found), _FACTS), clip(", ".join(node.where), _WHERE)]
        for node in found.nodes
    ]
    return "\n".join(
        [summary(found), table(["step", "what", "name", "", "bytes"], cells, [True, *[False] * 4]), *_ends(found)]
    )


def tree(found: Ancestry) -> str:
    """Each root with what it came from (or what came of it) below it; what was shown before is only named again."""
    near: dict[str, list[tuple[str, str]]] = {}
    for edge in found.edges:
        here, there = ("from", "to") if found.back else ("to", "from")
        near.setdefault(edge[here], []).append((edge[there], edge["how"]))
    nodes = {node.id: node for node in found.nodes}
    lines, shown = [summary(found)], set[str]()
    for root in found.roots:
        _branch(lines, nodes, near, shown, root, back=found.back)
    return "\n".join([*lines, *_ends(found)])


def _branch(
    lines: list[str],
    nodes: Mapping[str, Node],
    near: Mapping[str, Sequence[tuple[str, str]]],
    shown: set[str],
    root: str,
    *,
    back: bool,
) -> None:
    """One root; without recursion, since a lineage may be deep."""
    waiting = [(root, "", "", "")]
    held = "a part of it" if back else "of which it is a part"
    while waiting and len(lines) < _LINES:
        here, indent, mark, how = waiting.pop()
        node = nodes.get(here)
        if node is None:
            continue
        again = here in shown
        said = [node.kind, _name(node), _tree_facts(node)]
        how = held if how == "held" else how
        words = f" ({how})" if how not in ("", "read", "wrote", "ran", "logged", "declared", "made", "loaded") else ""
        lines.append(f"{indent}{mark}{' '.join(filter(None, said))}{clip(words, 80)}{' (see above)' if again else ''}")
        if again:
            continue
        shown.add(here)
        order = {MODEL: 0, CODE: 1, STAGE: 2, RUN: 3, DATA: 4}
        below = [pair for pair in near.get(here, ()) if pair[0] in nodes]
        below.sort(key=lambda pair: (order[nodes[pair[0]].kind], nodes[pair[0]].label))
        deeper = indent + {"": "", "├ ": "│ ", "└ ": "  "}[mark]
        for number, (there, why) in reversed(list(enumerate(below))):
            waiting.append((there, deeper, "└ " if number == len(below) - 1 else "├ ", why))
    if waiting:
        lines.append(f"… the first {_LINES:,} lines are shown")


def summary(found: Ancestry) -> str:
    """What was found, in a line."""
    roots = [node for node in found.nodes if node.id in found.roots]
    rest = Counter(node.kind for node in found.nodes if node.id not in found.roots)
    rest[RUN] -= _holders(found)
    if not found.back:
        named = clip(roots[0].label, _NAME) if roots else clip(found.asked, _NAME)
        aliases = f" ({clip(', '.join(roots[0].aliases), 60)})" if roots and roots[0].aliases else ""
        return (
            f"{named}{aliases} comes from {_counts(rest, (RUN, CODE, STAGE, MODEL, DATA)) or 'nothing that is known'}"
        )
    readers = {edge["to"] for edge in found.edges if edge["from"] in found.roots}
    direct = Counter({RUN: len(readers), MODEL: len(_made_of(found, readers))})
    further = Counter({RUN: rest[RUN] - direct[RUN], MODEL: rest[MODEL] - direct[MODEL]})
    versions = f" ({len(roots)} versions)" if len(roots) > 1 else ""
    more = _counts(further, (RUN, MODEL))
    later = f"; {more} came of what these wrote" if more else ""
    seen = "loaded" if roots and roots[0].kind == MODEL else "seen"
    return f"{clip(found.asked, 80)}{versions} was {seen} by {_counts(direct, (RUN, MODEL))}{later}"


def _made_of(found: Ancestry, runs: set[str]) -> set[str]:
    return {edge["to"] for edge in found.edges if edge["from"] in runs and edge["how"] == "logged"}


def _holders(found: Ancestry) -> int:
    """Runs that only hold others."""
    return len({edge["from"] for edge in found.edges if edge["how"] == "held"} - {e["to"] for e in found.edges})


def _counts(counts: Mapping[str, int], kinds: Sequence[str]) -> str:
    said = [f"{counts[kind]:,} {_CALLED[kind][counts[kind] != 1]}" for kind in kinds if counts.get(kind, 0) > 0]
    return " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))


def _name(node: Node) -> str:
    if node.kind == DATA and len(node.label) > _NAME:
        return "…" + clip(node.label[-(_NAME - 1) :], _NAME)
    if node.kind == MODEL and node.aliases:
        return f"{clip(node.label, _NAME)} ({clip(', '.join(node.aliases), 30)})"
    return clip(node.label, _NAME)


def _facts(node: Node, found: Ancestry) -> str:
    said: list[str] = []
    if node.kind == RUN:
        said = [node.run_id[:8], node.status, (node.at or "")[:16].replace("T", " "), node.source, _person(node)]
        said[3:3] = _held(node, found)
        said += [f"reproduces {node.reproduces[:8]}"] if node.reproduces else []
    elif node.kind == CODE:
        said = ["a snapshot of changed code" if node.dirty else ""]
    elif node.kind == STAGE:
        said = [node.source, *_runs_of(node, found), " ".join(node.cmd.split())]
    elif node.kind == DATA:
        said = [
            f"md5 {node.md5[:8]}" if node.md5 else "md5 not known",
            size(node.size) if node.size else "",
            node.state,
        ]
        said += [f"from {node.source}"] if node.source else []
        said += _makers(node, found)
    else:
        said = [(node.at or "")[:16].replace("T", " "), f"digest {node.digest[:8]}" if node.digest else ""]
        said += _loaders(node, found)
    said += [f"MISSING: {node.missing}"] if node.missing else []
    return ", ".join(filter(None, said))


def _held(node: Node, found: Ancestry) -> list[str]:
    """That a run holds others, as a repro does its stages."""
    names = {one.id: one.label for one in found.nodes}
    held = [names[e["to"]] for e in found.edges if e["from"] == node.id and e["how"] == "held" and e["to"] in names]
    return [f"holds {some(held, 3, 20)}"] if held else []


def _runs_of(stage: Node, found: Ancestry) -> list[str]:
    """Which run a stage's line belongs to, where the stage stands here more than once."""
    if sum(one.kind == STAGE and one.label == stage.label for one in found.nodes) < 2:
        return []
    runs = {one.id: one.run_id[:8] for one in found.nodes if one.kind == RUN}
    of = [runs[e["to"]] for e in found.edges if e["from"] == stage.id and e["to"] in runs]
    return [f"of {', '.join(of[:3])}"] if of else []


def _person(node: Node) -> str:
    """A name without the address."""
    return (node.by or "").partition(" <")[0]


def _makers(node: Node, found: Ancestry) -> list[str]:
    """Who wrote data, in words."""
    names = {one.id: one for one in found.nodes}
    made = [(names[e["from"]], e["how"]) for e in found.edges if e["to"] == node.id and e["from"] in names]
    return [_by(how, _called(one, found)) for one, how in made[:3]]


def _by(how: str, who: str) -> str:
    """``by train``, ``the same bytes as x.csv by train``, ``by train (as did 2 other runs)``"""
    said, _, others = how.partition(" (")
    what = said.removeprefix("wrote").removeprefix("made").removesuffix(" of").strip()
    return " ".join(filter(None, [what, f"by {who}", f"({others}" if others else ""]))


def _called(node: Node, found: Ancestry) -> str:
    """The name; of a run with its id, where another run here is called the same."""
    alike = node.kind == RUN and sum(one.kind == RUN and one.label == node.label for one in found.nodes) > 1
    return clip(node.label, 30) + (f" {node.run_id[:8]}" if alike else "")


def _loaders(node: Node, found: Ancestry) -> list[str]:
    """Who loaded a model, in words."""
    names = {one.id: one.label for one in found.nodes}
    loaded = [(e["how"], names[e["to"]]) for e in found.edges if e["from"] == node.id and e["to"] in names]
    return [f"{how} by {clip(label, 30)}" for how, label in loaded[:3]]


def _tree_facts(node: Node) -> str:
    if node.kind == RUN:
        said = [node.run_id[:8], node.status, (node.at or "")[:16].replace("T", " "), _person(node)]
    elif node.kind == DATA:
        said = [f"md5 {node.md5[:8]}" if node.md5 else "md5 not known", node.state, ", ".join(node.where)]
    elif node.kind == CODE:
        said = ["snapshot" if node.dirty else ""]
    else:
        said = [node.source]
    said += [f"MISSING: {node.missing}"] if node.missing else []
    facts = ", ".join(filter(None, said))
    return f"· {clip(facts, 100)}" if facts else ""


def _ends(found: Ancestry) -> list[str]:
    return [*(f"missing: {clip(one, 300)}" for one in found.missing), *(f"({clip(one, 300)})" for one in found.notes)]
