"""Evidence beyond metrics, which a gate can require of a run: that it was reproduced, that its code and data are versioned and
where others can get them, that its environment is known exactly, and that it saw enough rows.

Each says what is lacking, as reasons to deny; what cannot be found out is lacking. What a run read and ran on is taken from
its record only as far as the sealed manifest bears it out.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from nbledger.core import environment, git, gitlog, gitremote, made, manifest, needs, tablerows, whereabouts
from nbledger.core.environment import Environment, canonical
from nbledger.core.errors import LedgerError
from nbledger.core.gate import DATA as DATA_DENIAL
from nbledger.core.gate import DIRTY, ORDER, Denial, Evidence
from nbledger.core.gates import CLEAN, DATA, ENVIRONMENT, PUSHED, VERIFIED
from nbledger.core.lineage import FileRecord
from nbledger.core.manifest import Manifest
from nbledger.core.needs import Need
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.runs import REPRODUCES, VERDICT
from nbledger.core.verdict import IDENTICAL, WITHIN
from nbledger.core.wording import some

OF_MANIFEST = "nbledger.reproduces.manifest"
"""Tag of a reproduction: the digest of the manifest of the run that it executed again."""

ROWS = "rows"
_NAMED = 3


@dataclass(frozen=True)
class Facts:
    """What is known of a run beyond its figures: its record, and the runs that reproduced it, the oldest first."""

    run: Evidence
    record: Record
    reproductions: Sequence[Evidence] = ()


def told(project: Project, denials: Iterable[Denial], require: Collection[str], run: Evidence) -> tuple[Denial, ...]:
    """The reasons with what a person needs to mend them: the files by which the code differed, and no word of ``--allow`` where the
    gate requires what would be set aside.
    """
    found = []
    for one in denials:
        text = one.text
        if one.kind == DIRTY and (paths := _differing(project, run)):
            text = text.replace("the last commit", f"the last commit by {some(paths, _NAMED)}", 1)
        if one.kind in unallowable(require):
            text = text.removesuffix(f" (--allow {one.kind})")
        found.append(Denial(one.kind, text))
    return tuple(found)


def _differing(project: Project, run: Evidence) -> list[str]:
    """The files in which the snapshot of a run differs from the commit that it stands on; none where the snapshot is not here."""
    snapshot = run.tags.get("nbledger.snapshot", "")
    if project.git is None or not git.is_hex(snapshot) or not git.has_commit(project.git, snapshot):
        return []
    try:
        base = git.commit_named(project.git, f"{git.full_id(snapshot)}^")
        paths = gitlog.changed_paths(project.git, base, snapshot) if base else {}
        return sorted(made.others(project, project.git, snapshot, paths))
    except LedgerError:
        return []


def unallowable(require: Collection[str]) -> set[str]:
    """Which reasons nobody may set aside where this is required."""
    return ({DIRTY, ORDER} if CLEAN in require else set()) | ({DATA_DENIAL} if DATA in require else set())


def lacking(project: Project, require: Collection[str], min_rows: int, facts: Facts) -> list[Denial]:
    """What the run lacks of what is required (words of ``gates.REQUIREMENTS``), and of the rows of its data inputs."""
    denials: list[Denial] = []
    if VERIFIED in require:
        denials += _verified(facts)
    if DATA in require:
        denials += _versioned(facts)
    if PUSHED in require:
        denials += _pushed(project, facts)
    if ENVIRONMENT in require:
        denials += _locked(project, facts)
    if min_rows:
        denials += _rows(project, facts, min_rows)
    return denials


# ── reproduced ───────────────────────────────────────────────────────────────────────────────────────────


def _verified(facts: Facts) -> list[Denial]:
    """The newest reproduction of this very manifest decides."""
    known = facts.run.manifest
    said = [(one, found) for one in facts.reproductions if (found := _sealed_tags(one)) is not None]
    ours = [(one, tags) for one, tags in said if known is not None and tags.get(OF_MANIFEST) == known.digest]
    ours = [(one, tags) for one, tags in ours if tags.get(REPRODUCES) == facts.run.run_id and tags.get(VERDICT)]
    again = f"nbledger reproduce {facts.run.run_id[:8]}"
    if not ours:
        other = " as it is now" if said else ""
        return [Denial(VERIFIED, f"no reproduction of the run{other} is recorded: {again}")]
    newest, tags = ours[-1]
    if tags[VERDICT] in (IDENTICAL, WITHIN):
        return []
    return [Denial(VERIFIED, f"the newest reproduction of the run, {newest.run_id[:8]}, says {tags[VERDICT][:40]}")]


def _sealed_tags(found: Evidence) -> dict[str, str] | None:
    """The tags that a reproduction recorded itself; None where its manifest is not the one that was sealed."""
    known = found.manifest
    if known is None or known.status != "FINISHED" or found.tags.get(manifest.TAG) != known.digest:
        return None
    if found.remembered and known.digest not in found.remembered:
        return None
    tags: dict[str, str] = {}
    for event in known.events:
        if event.get("t") == "tags" and isinstance(event.get("tags"), dict):
            tags |= {str(k): str(v) for k, v in event["tags"].items()}
    return tags


# ── versioned data ───────────────────────────────────────────────────────────────────────────────────────


def _versioned(facts: Facts) -> list[Denial]:
    """That the run is known to have read data, all of it versioned. (That none differed is asked of every run.)"""
    if not facts.record.inputs:
        return [Denial(DATA, "the run is not known to have read any data")]
    loose = [one.path for one in facts.record.inputs if one.state not in ("dvc", "git")]
    denials = [Denial(DATA, f"nothing versions {some(sorted(loose), _NAMED)}, which the run read")] if loose else []
    return denials + _borne_out(facts)


def _borne_out(facts: Facts) -> list[Denial]:
    """That the inputs of the record are those of the sealed manifest, which names each with its hash."""
    sealed = _sealed_inputs(facts.run.manifest)
    if sealed is None:  # hashed by whoever published the run
        return []
    other = [record.path for record in facts.record.inputs if _named(record) not in sealed]
    told = f"the run's inputs.json names {some(sorted(other), _NAMED)}, which its manifest does not"
    return [Denial("manifest", told)] if other else []


def _named(record: FileRecord) -> tuple[str, str]:
    """What of an input the manifest names: the tracked output that it belongs to, else the file."""
    if record.state == "dvc":
        return record.dataset or record.path, record.digest or ""
    return record.path, record.md5 or ""


def _sealed_inputs(known: Manifest | None) -> set[tuple[str, str]] | None:
    found: set[tuple[str, str]] = set()
    for event in known.events if known is not None else ():
        if event.get("t") == "lineage":
            if event.get("pending"):
                return None
            found |= {(str(one[0]), str(one[1])) for one in event.get("datasets", ()) if len(one) > 1}
    return found


# ── where others can get it ──────────────────────────────────────────────────────────────────────────────


def _pushed(project: Project, facts: Facts) -> list[Denial]:
    """The commit of the run, and the versions of data that it read, in the remotes."""
    try:
        return [Denial(PUSHED, text) for text in (*_code(project, facts), *_data(project, facts))]
    except LedgerError as err:
        return [Denial(PUSHED, f"what the remotes have is not known: {err}")]


def _commit(facts: Facts) -> str | None:
    known = facts.run.manifest
    tags: Mapping[str, str] = known.stored.tags if known is not None and known.stored is not None else {}
    commit = tags.get("nbledger.snapshot") or tags.get("mlflow.source.git.commit")
    return commit if commit and git.is_hex(commit) else None


def _code(project: Project, facts: Facts) -> list[str]:
    commit = _commit(facts)
    if project.git is None or commit is None:
        return ["the run's code is in no commit"]
    names = gitremote.remotes(project.git)
    if not names:
        return ["there is no Git remote that has the run's commit"]
    snapshot = f"{git.RUN_REFS}{facts.run.run_id}"
    for name in names:
        has = gitremote.has(project.git, name, "refs/heads/*", "refs/tags/*", snapshot)
        if commit in has.values() or _leads_there(project, commit, has.values()):
            return []
    return [f"no branch, tag or snapshot in {some(names, _NAMED)} has the run's commit {commit[:10]}: nbledger push"]


def _leads_there(project: Project, commit: str, tips: Iterable[str]) -> bool:
    """Whether a commit leads to one of these, as far as they are known here."""
    assert project.git is not None
    known = list(gitlog.trees(project.git, list(dict.fromkeys(tips))))
    return bool(known) and git.has_commit(project.git, commit) and not needs.new_commits(project.git, [commit], known)


def _data(project: Project, facts: Facts) -> list[str]:
    told = [f"{record.path}, which the run read, is versioned by nothing" for record in _loose(facts)]
    tracked = {_named(one): one for one in facts.record.inputs if one.state == "dvc" and one.digest}
    if not tracked or project.dvc_root is None:
        return told + [f"{path} is tracked by DVC, which this project has not" for path, _ in sorted(tracked)]
    commit = _commit(facts)
    if project.git is not None and commit and not git.has_commit(project.git, commit):
        git.fetch_run(project.git, facts.run.run_id, commit)
    found = needs.of_trees(project, {commit: "the run"}) if commit and project.git is not None else []
    named = {(need.path, need.md5): need for need in found}
    wanted = [
        named.get((path, digest)) or Need(path, record.pointer or "", digest, "the run", record.size)
        for (path, digest), record in tracked.items()
    ]
    absent = whereabouts.look(project, wanted)
    return told + [
        f"{one.need.path} ({one.need.md5[:10]}): {one.why or 'not in the data remote: nbledger push'}" for one in absent
    ]


def _loose(facts: Facts) -> list[FileRecord]:
    return [one for one in facts.record.inputs if one.state not in ("dvc", "git")][:_NAMED]


# ── the environment ──────────────────────────────────────────────────────────────────────────────────────


def _locked(project: Project, facts: Facts) -> list[Denial]:
    """That every package which the run imported can be had again in the very version."""
    found, known = facts.record.environment, facts.run.manifest
    sealed = known.stored.tags.get("nbledger.env.digest") if known is not None and known.stored is not None else None
    if found is None or sealed is None:
        return [Denial(ENVIRONMENT, "the run recorded no environment")]
    if environment.digest_of(found) != sealed:
        return [Denial(ENVIRONMENT, "the run's environment.json is not the one that the run recorded")]
    used = {canonical(name) for name in facts.record.imported}
    loose = [why for package in found.packages if (why := _unlocked(project, found, package, used))]
    return [Denial(ENVIRONMENT, f"{some(loose, _NAMED)}")] if loose else []


def _unlocked(project: Project, found: Environment, package: tuple[str, str, str, bool], used: set[str]) -> str:
    """Why a package cannot be had again as it was; empty if it can, or if the run did not import it."""
    name, version, url, _ = package
    if name == "nbledger" or (used and canonical(name) not in used):
        return ""
    if not version and not url:
        return f"the version of {name} is not known"
    if not url.startswith("file:"):
        return ""
    place = os.path.realpath(unquote(urlsplit(url).path))
    within = place == os.path.realpath(project.root) or place.startswith(os.path.realpath(project.root) + os.sep)
    return "" if within else f"{name} was installed from a folder of one machine"


# ── how much data ────────────────────────────────────────────────────────────────────────────────────────


def _rows(project: Project, facts: Facts, least: int) -> list[Denial]:
    """The rows of all tables among the inputs, the same bytes counted once."""
    denials = _borne_out(facts)
    made = facts.record.remade
    tables = {one.md5: one for one in facts.record.inputs if one.path not in made and tablerows.is_table(one.path)}
    if any(md5 is None for md5 in tables):
        return [*denials, Denial(ROWS, "the run read a table whose bytes are not known")]
    total, uncounted = 0, []
    for md5, record in tables.items():
        count = tablerows.count(project, record.path, str(md5), _commit(facts))
        if count is None:
            uncounted.append(record.path)
        else:
            total += count
    if total >= least:
        return denials
    if uncounted:
        told = f"the rows of {some(sorted(uncounted), _NAMED)} cannot be counted here: nbledger pull"
        return [*denials, Denial(ROWS, told)]
    told = f"the run's data have {total:,} rows together, and {least:,} are required"
    return [*denials, Denial(ROWS, told)]
