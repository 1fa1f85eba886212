"""Serving a version on this machine, behind the model's front (``frontdoor``)."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbledger.core import deploy as deploys
from nbledger.core import serving, smoke, trust
from nbledger.core.deploy import Chosen, Deployed
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.files import lock
from nbledger.core.project import Project
from nbledger.keeper import fronts, frontstate, served
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.frontstate import Order, State

_STEPS = {
    "start": "starting version {v}",
    "probe": "waiting until version {v} answers /ping",
    "smoke": "asking version {v} its own input example",
    "watch": "version {v} serves; watching it for {watch:g} s",
    "done": "the version before is ended",
}
_LOOPBACK = "127.0.0.1"
_SHORT = 300


def deploy(project: Project, api: Any, chosen: Chosen, args: Args, progress: Progress | None) -> Deployed:
    """Start the version beside the one that serves, and let the front change over to it if it is good."""
    digest = deploys.expected(chosen, args.get("sha256"))
    env_manager = str(args.get("env_manager") or "local")
    if env_manager not in serving.ENV_MANAGERS:
        raise UsageError(f"there is no environment manager {env_manager!r}", f"{', '.join(serving.ENV_MANAGERS)}")
    folder = frontstate.folder_of(project, chosen.model)
    state = frontstate.load(folder)
    host, port = _address(chosen.model, state, args)
    if state is None and port and served.taken(host, port):
        raise UsageError(f"port {port} is in use here", "another --port, or none: then a free one is found")
    probe, watch = float(args.get("probe") or 300.0), float(args.get("watch", 10.0))
    words = serving.serve("model", served.PORT, env_manager, int(args.get("workers") or 1), 60)
    if args.get("dry"):
        return _told(chosen, digest, host, port, words, probe, watch, state)
    if sys.platform == "win32":
        raise Refused("models are not served on Windows", "--to docker builds an image that serves them")
    trust.require(project, "serving a model")
    (project.ensure_state() / frontstate.FOLDER).mkdir(mode=0o700, exist_ok=True)
    with lock(folder.with_suffix(".lock"), timeout=1.0, what=f"the serving of {chosen.model}"):
        return _deployed(project, api, chosen, digest, State(chosen.model, host, port), words, (probe, watch), progress)


def _deployed(
    project: Project,
    api: Any,
    chosen: Chosen,
    digest: str,
    fresh: State,
    words: tuple[str, ...],
    seconds: tuple[float, float],
    progress: Progress | None,
) -> Deployed:
    """Under the lock."""
    folder = frontstate.folder_of(project, chosen.model)
    state = frontstate.load(folder)
    if state is not None and (same := _served_already(folder, state, chosen, digest, seconds[0])) is not None:
        return same
    order_id = uuid.uuid4().hex[:12]
    place = folder / "models" / f"{chosen.version}-{order_id}" / "model"
    place.parent.mkdir(parents=True, mode=0o700)
    _say(progress, 0, f"copying and checking the files of version {chosen.version}")
    try:
        deploys.fetched(project, api, chosen, digest, place)
        asked = smoke.of_model(place, smoke.described(place))
        if state is None:
            _begun(folder, fresh)
        order = Order(
            order_id,
            chosen.version,
            digest,
            str(place),
            words,
            asked.body if asked else None,
            asked.expected if asked else None,
            *seconds,
        )
        fronts.ask(folder, "begin", asdict(order))
        outcome = _waited(folder, order, progress)
    finally:
        _sweep(folder)
    endpoint = _endpoint(state or fresh)
    notes = [] if asked else ["the model has no input example: nothing was asked of it before it served"]
    if not _loopback(fresh.host):
        notes.append(f"whoever reaches {fresh.host} may ask the model, without a login")
    if not outcome["ok"]:
        notes.append(f"what its server said is in {folder / f'serve-{order_id}.log'}")
    if outcome["serving"] is None:  # the first version: there is nothing to wait for behind an open port
        fronts.stopped(folder)
        frontstate.forget(folder)
    return Deployed(
        bool(outcome["ok"]),
        chosen.model,
        chosen.version,
        chosen.alias,
        "local",
        endpoint if outcome["serving"] else None,
        outcome["serving"],
        outcome["previous"],
        digest,
        outcome["step"],
        outcome["text"],
        requests=outcome["requests"],
        failures=outcome["failures"],
        notes=tuple(notes),
        example=_example(place) if outcome["serving"] == chosen.version else "",
    )


def _example(place: Path) -> str:
    """What can be asked of the model: its own input example, the file where that is long."""
    with contextlib.suppress(Refused):
        told = smoke.described(place)
        if (asked := smoke.of_model(place, told)) is not None:
            body = json.dumps(json.loads(asked.body))  # one line, and plain ASCII
            return (
                body
                if len(body) <= _SHORT
                else f"@{place / str(told['saved_input_example_info']['serving_input_path'])}"
            )
    return ""


def _begun(folder: Path, fresh: State) -> None:
    """Start the front of a model that was not served yet; nothing of it stays if it cannot start."""
    fresh.port = fresh.port or served.free_port()
    frontstate.keep(folder, fresh)
    try:
        fronts.ensure(folder)
    except BaseException:
        frontstate.forget(folder)
        raise


def end_leftovers(state: State) -> None:
    """End the processes of a front that is gone."""
    for one in (state.current, state.previous, state.coming):
        if one is not None:
            served.end(one)


def _address(model: str, state: State | None, args: Args) -> tuple[str, int]:
    """Where the model is to be served: where it is, if it is."""
    port = int(args.get("port") or 0)
    host = str(args.get("host") or (state.host if state else _LOOPBACK))
    if state is None:
        return host, port
    if (port and port != state.port) or host != state.host:
        raise UsageError(
            f"the model {model} is served at {_endpoint(state)}",
            f"leave --port out, or nbledger deploy {model} --stop first",
        )
    return state.host, state.port


def _served_already(folder: Path, state: State, chosen: Chosen, digest: str, probe: float) -> Deployed | None:
    """The answer where this very version serves, or does so again as soon as its server has started."""
    fronts.ensure(folder)  # one that was killed goes on
    until = time.monotonic() + probe
    while True:
        told = fronts.ask(folder)
        one = told["current"]
        if told["order"] or one is None or (one["version"], one["digest"]) != (chosen.version, digest):
            return None
        if told["health"] == "ok":
            break
        if told["health"] != "starting" or time.monotonic() > until:
            return None
        time.sleep(0.2)
    return Deployed(
        True,
        chosen.model,
        chosen.version,
        chosen.alias,
        "local",
        _endpoint(state),
        chosen.version,
        chosen.version,
        digest,
        "nothing",
        "this version is served already",
        example=_example(Path(one["folder"])),
    )


def _waited(folder: Path, order: Order, progress: Progress | None) -> dict[str, Any]:
    """How the order ended. Whoever gives up waiting gives the order up."""
    try:
        for step, outcome in fronts.wait(folder, order):
            if outcome is not None:
                return outcome
            if step in _STEPS:
                _say(progress, list(_STEPS).index(step) + 1, _STEPS[step].format(v=order.version, watch=order.watch))
    except BaseException:
        with contextlib.suppress(LedgerError):
            fronts.ask(folder, "cancel", {"id": order.id})
        raise
    raise LedgerError("the front ended before it answered", f"see {folder / 'front.log'}")


def _sweep(folder: Path) -> None:
    """Remove the files of versions that are not served any more."""
    with contextlib.suppress(LedgerError, OSError):
        state = frontstate.load(folder)
        served_now = (state.current, state.previous, state.coming) if state is not None else ()
        kept = {Path(one.folder).parent for one in served_now if one is not None}
        for place in (folder / "models").iterdir():
            if place not in kept:
                shutil.rmtree(place, ignore_errors=True)
        old = sorted(folder.glob("serve-*.log"), key=lambda log: log.stat().st_mtime)
        for log in old[:-5]:
            log.unlink()
        if state is None:  # nothing is served; what failed has left its log
            (folder / "models").rmdir()
            folder.rmdir()


def _told(
    chosen: Chosen,
    digest: str,
    host: str,
    port: int,
    words: tuple[str, ...],
    probe: float,
    watch: float,
    state: State | None,
) -> Deployed:
    """What would be done."""
    before = state.current.version if state is not None and state.current is not None else None
    steps = [
        f"copy the files of version {chosen.version} from {chosen.place}",
        f"go on only if their digest is {digest}",
        " ".join("PORT" if word == served.PORT else word for word in words[words.index("-m") + 1 :]),
        f"wait up to {probe:g} s until it answers /ping",
        "ask it its own input example, and compare with what was recorded for it, where that is",
        f"send the requests to {frontstate.endpoint(host, port) if port else f'a free port of {host}'} to version {chosen.version}"
        + (f", no longer to version {before}" if before else ""),
        f"watch it for {watch:g} s" + (f"; if it fails, version {before} serves again" if before else ""),
    ]
    if before:
        steps.append(f"end version {before} when what was asked of it is answered")
    return Deployed(
        True,
        chosen.model,
        chosen.version,
        chosen.alias,
        "local",
        frontstate.endpoint(host, port) if port else None,
        before,
        before,
        digest,
        steps=tuple(steps),
        dry=True,
    )


def _endpoint(state: State) -> str:
    return frontstate.endpoint(state.host, state.port)


def _loopback(host: str) -> bool:
    return host in (_LOOPBACK, "localhost", "::1")


def _say(progress: Progress | None, done: int, text: str) -> None:
    if progress is not None:
        progress(done, len(_STEPS) + 1, text)
