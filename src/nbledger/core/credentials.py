"""Whether this person can use a data remote: the plugin, the credential and where it was looked for, and what it lets do.

No value of a credential is read further than needed to know that it is there, and none is told.
"""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbledger.core import credentialplaces, dvc, dvcfiles, dvcremote, git, remoteprobe, remoteurl, trust
from nbledger.core.credentialplaces import Option, Place
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.remoteurl import Kind

_FILES = ("cert_path", "key_path", "ssl_verify")


@dataclass(frozen=True)
class Finding:
    """One thing looked at, in a line; ``fix`` is what to do."""

    severity: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""


def check(project: Project, remote: str = "", *, seconds: float = remoteprobe.PATIENCE) -> list[Finding]:
    """What is ready and what is missing for the data remote (default: the default one); nothing without one.

    Configuration and credentials are looked at without asking anybody. Then, if one was found and the project is trusted,
    the remote is asked for up to ``seconds``: an object is written, read, listed and removed.
    """
    if project.dvc_root is None or (not remote and dvcremote.default_remote(project) is None):
        return []
    name, url, options = dvcremote.named(project, remote)
    kind = remoteurl.kind_of(url)
    found = [_remote(name, url, kind, options), *_configuration(project, name, options)]
    if strange := _strange(name, kind, options):
        return [*found, *strange]
    if lacking := _plugin(kind):
        return [*found, lacking]
    places = credentialplaces.looked(kind.scheme, url, options)
    usable = places == [] or any(place.found for place in places)
    found += _credential(kind, places, options)
    if kind.scheme == "ssh":
        found.append(_host_key())
    if usable and not trust.trusted(project):
        why = f"the data remote {name} is not asked unbidden until you trust this project"
        return [*found, Finding("note", why, "nbledger trust")]
    return [*found, *_asked(project, name, kind, seconds)] if usable else found


def _remote(name: str, url: str, kind: Kind, options: Mapping[str, Option]) -> Finding:
    if kind.scheme not in remoteurl.KINDS:
        return Finding(
            "problem", f"the data remote {name}, {url}: DVC knows no such kind", "nbledger init --remote URL"
        )
    if not kind.scheme:
        return Finding("ok", f"data remote {name}: {url}")
    told = [f"at {git.scrub_url(options[key].value)}" for key in ("endpointurl",) if key in options]
    told += [f"{key} {options[key].value}" for key in ("region", "account_name", "projectname") if key in options]
    more = f" ({', '.join(told)})" if told else ""
    return Finding("ok", f"data remote {name}: {url}, {kind.title}{more}")


def _configuration(project: Project, name: str, options: Mapping[str, Option]) -> Iterator[Finding]:
    """Secrets where Git keeps them or others can read them, and files that are named and are not there."""
    root = dvc.require_root(project)
    secret = [key for key, option in options.items() if option.value and remoteurl.secret(key)]
    for key in secret:
        if options[key].file == ".dvc/config":
            yield Finding(
                "problem",
                f"{key} of the data remote {name} stands in .dvc/config, which Git keeps",
                f"take a new one, put it into .dvc/config.local, and: dvc remote modify --unset {name} {key}",
            )
    local = root / ".dvc" / "config.local"
    shown = project.relative(local) or ""
    if project.git is not None and shown and local.is_file() and git.tracked(project.git, [shown]):
        yield Finding(
            "problem",
            ".dvc/config.local, which holds what is yours alone, is in Git",
            "git rm --cached .dvc/config.local; take new credentials if it held some",
        )
    for path, shown in dvcfiles.levels(root):
        if any(options[key].file == shown for key in secret) and shown != ".dvc/config" and _open_to_all(path):
            yield Finding(
                "note", f"{shown} holds a secret and can be read by others on this machine", f"chmod 600 {shown}"
            )
    for key in _FILES:
        option = options.get(key)
        if option is not None and option.value.lower() not in ("true", "false"):
            path = Path(os.path.expanduser(option.value))
            if not path.exists():
                fix = f"dvc remote modify --local {name} {key} PATH"
                yield Finding(
                    "problem", f"{key} of {option.file} names {credentialplaces.tilde(path)}, which is not there", fix
                )


def _strange(name: str, kind: Kind, options: Mapping[str, Option]) -> list[Finding]:
    """Options that DVC does not know for such a place: it then refuses its whole configuration."""
    known = dvcremote.option_names(kind)
    return [
        Finding(
            "problem",
            f"{key} of {option.file} is no option of {kind.title}, and DVC takes none of the data remote {name} because of it",
            f"take the line out of {option.file}",
        )
        for key, option in options.items()
        if known and key not in known
    ]


def _open_to_all(path: Path) -> bool:
    try:
        return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def _plugin(kind: Kind) -> Finding | None:
    lacking = [module for module in kind.modules if importlib.util.find_spec(module) is None]
    if not lacking:
        return None
    return Finding(
        "problem", f"DVC's plugin for {kind.title} is not installed here ({', '.join(lacking)})", kind.install
    )


def _credential(kind: Kind, places: Sequence[Place], options: Mapping[str, Option]) -> Iterator[Finding]:
    """The first place that has one, what is amiss with those before it; or all that were looked at."""
    if not places:
        return
    first = next((at for at, place in enumerate(places) if place.found), None)
    for place in places[:first]:
        if place.wrong:
            yield Finding(
                "problem" if first is None else "note", place.wrong, "" if first is None else "the next place is used"
            )
    if first is not None:
        yield Finding("ok", f"credential for {kind.title}: {places[first].found}")
        return
    names = list(dict.fromkeys(place.name for place in places))
    fix = {
        "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure",
        "gs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
        "azure": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and run az login",
        "ssh": "ssh-keygen makes a key, ssh-add gives it to the agent",
    }.get(kind.scheme, "write user and password into .dvc/config.local")
    yield Finding("problem", f"no credential for {kind.title} was found; looked in: {'; '.join(names)}", fix)


def _host_key() -> Finding:
    return Finding(
        "note",
        "DVC's SSH plugin does not check that the host is the one it was: known_hosts is not read",
        "use it within a network that you trust; docs/remotes.md says more",
    )


def _asked(project: Project, name: str, kind: Kind, seconds: float) -> Iterator[Finding]:
    probe = remoteprobe.probe(project, name, kind, seconds)
    able = [word for word, can in (("list", probe.listed), ("write", probe.written), ("read", probe.read)) if can]
    if kind.scheme in ("http", "https") and probe.error is None:
        yield Finding("ok", f"the data remote {name} answers; whether it takes data shows with the first push")
    elif len(able) == 3 and not probe.left:
        yield Finding("ok", f"the data remote {name} lets you list, write and read")
    elif probe.error is not None and probe.listed and not probe.written:
        yield Finding(
            "note",
            f"the data remote {name} lets you list but not write: {probe.error.message}",
            "pull works, push does not",
        )
    elif probe.error is not None:
        yield Finding("problem", probe.error.message, probe.error.hint)
    if probe.left:
        yield Finding("note", f"{probe.left} could not be removed: push works, gc --cloud does not", "remove it")
    if not kind.scheme:
        yield from _shared_folder(project, name, new=probe.new)


def _shared_folder(project: Project, name: str, *, new: bool) -> Iterator[Finding]:
    """A folder that several people use: is it there, and can the others write beside what one has written?"""
    _, url, options = dvcremote.named(project, name)
    if new:
        yield Finding(
            "note", f"{url} is not there yet: the first push makes it", "is the share mounted that it lies in?"
        )
        return
    try:
        mode = os.stat(url).st_mode
    except OSError:
        return
    if mode & stat.S_IWGRP and "shared" not in options:
        yield Finding(
            "note",
            f"{url} is open to its group, and what you push there will be yours alone",
            f"nbledger init --remote {url} --remote-option shared=group",
        )


def told(project: Project, seconds: float = 8.0) -> list[str]:
    """What ``check`` found, a line each, without what is as it should be; problems begin with ``!``. Nothing fails for it."""
    try:
        found = check(project, seconds=seconds)
    except (LedgerError, OSError) as err:
        return [f"! the data remote was not looked at: {err}"]
    ready = [f.text for f in found if f.severity == "ok" and "lets you" in f.text]
    marks = {"problem": "!", "note": "·"}
    lacking = [f"{marks[f.severity]} {f.text}{f' — {f.fix}' if f.fix else ''}" for f in found if f.severity in marks]
    return [*ready, *lacking]
