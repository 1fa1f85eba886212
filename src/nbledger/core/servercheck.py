"""Whether an MLflow server is one that a team can rely on, asked from where its people sit: only by its own HTTP interface, as
the present person, and so that nothing is left behind on it.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import secrets as randomness
import socket
import ssl
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nbledger.core import secrets
from nbledger.core.serverhttp import LOGIN, Answered, Server, said

FOREIGN = "nbledger-check.invalid"
"""A name that nobody has (RFC 2606): no server should answer to it."""

_API, _ARTIFACTS = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
_PROBE = 2 << 20  # more than the one megabyte that nginx lets through unless told otherwise
_CLOCK = 5.0
_EXPIRES = 14
_MOST_TRIED = 20
_OPEN_TO_ALL: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", f"{_API}/experiments/search?max_results=1", None),
    ("POST", f"{_API}/runs/search", {"experiment_ids": ["0"], "max_results": 1}),
    ("GET", f"{_API}/registered-models/search?max_results=1", None),
    ("GET", f"{_ARTIFACTS}?path=", None),
    ("POST", "/graphql", {"query": "{ __typename }"}),
)


@dataclass(frozen=True)
class Check:
    """One thing looked at: ``what`` it is in a word, ``text`` what was found, ``fix`` what to do."""

    what: str
    severity: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""


def check(url: str, experiment: str = "") -> list[Check]:
    """Look at everything, one line each; ``experiment`` is the one that runs go to, by name (else MLflow's ``Default``)."""
    server = Server(url)
    found = list(_reachable(server))
    if len(found) == 1 and found[0].severity == "problem":
        return _lines(found)
    parts: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("authentication", lambda: _anonymous(server)),
        ("login", lambda: _person(server)),
        ("permission", lambda: _permission(server, experiment)),
        ("artifacts", lambda: _artifacts(server, experiment)),
        ("hosts", lambda: _hosts(server)),
        ("origins", lambda: _origins(server)),
        ("clock", lambda: _clock(server)),
        ("stores", lambda: _stores(server)),
    ]
    try:
        version, known = _version(server)
    except OSError as err:
        version, known = (
            Check("version", "problem", f"the server stopped answering: {said(err)}", "look at its log"),
            False,
        )
    found.append(version)
    for what, part in parts if known else ():
        try:
            found += part()
        except OSError as err:
            found.append(Check(what, "problem", f"the server stopped answering: {said(err)}", "look at its log"))
    return _lines(found)


def _lines(found: Sequence[Check]) -> list[Check]:
    return [replace(each, text=_line(each.text)) for each in found]


def _line(text: str) -> str:
    """One line: some of it is the server's own words, which may be long and may move a terminal's cursor."""
    flat = "".join(c if c.isprintable() else "�" for c in text[:400])
    return flat if len(text) <= 400 else f"{flat[:399]}…"


def _reachable(server: Server) -> Iterator[Check]:
    shown = server.base
    try:
        answer = server.ask("GET", "/health", login=False)
    except ssl.SSLError as err:
        yield _certificate(server, err)
        return
    except OSError as err:
        reason = err.reason if isinstance(err, urllib.error.URLError) else err
        if isinstance(reason, ssl.SSLError):
            yield _certificate(server, reason)
            return
        yield Check("reachable", "problem", f"{shown} does not answer: {said(err)}", _where(reason))
        return
    if 300 <= answer.status < 400:
        there = secrets.scrub(answer.headers.get("location", "elsewhere"))
        yield Check(
            "reachable",
            "problem",
            f"{shown} sends elsewhere: {there}",
            "use that address: what writes is not redirected",
        )
    elif answer.status == 200 and answer.body.strip() == b"OK":
        yield Check("reachable", "ok", f"{shown} answers ({answer.seconds * 1000:.0f} ms)")
        yield from _encrypted(server)
    else:
        fix = "is it the right address and path? MLflow answers OK to /health"
        yield Check("reachable", "problem", f"{shown} answers {answer.status}, and not as MLflow does", fix)


def _where(reason: object) -> str:
    if isinstance(reason, socket.gaierror):
        return "the name is not known: a typing error, or a VPN that is off"
    if isinstance(reason, ConnectionRefusedError):
        return "nothing listens there: is the server started, is it the right port?"
    return "a firewall, a VPN that is off, or a server that hangs"


def _certificate(server: Server, err: ssl.SSLError) -> Check:
    if isinstance(err, ssl.SSLCertVerificationError):
        fix = "MLFLOW_TRACKING_SERVER_CERT_PATH names the file of an authority of your own; do not turn the check off"
        return Check("tls", "problem", f"the certificate of {server.host} is not accepted: {err.verify_message}", fix)
    return Check("tls", "problem", f"no TLS with {server.host}: {said(err)}", "is it https:// and the right port?")


def _encrypted(server: Server) -> Iterator[Check]:
    if server.parts.scheme == "http" and server.local:
        yield Check("tls", "ok", "no TLS, and none is needed: the connection stays on this machine")
        return
    if server.parts.scheme == "http":
        yield Check("tls", "problem", "no TLS: passwords and data travel as plain text", "nbledger server --host NAME")
        server.withhold()
        return
    if server.context.verify_mode == ssl.CERT_NONE:
        yield Check("tls", "problem", "the certificate is not checked", "unset MLFLOW_TRACKING_INSECURE_TLS")
        server.withhold()
        return
    try:
        with (
            socket.create_connection((server.host, server.port), timeout=server.timeout) as plain,
            server.context.wrap_socket(plain, server_hostname=server.host) as line,
        ):
            told = line.getpeercert() or {}
            begins, ends = (ssl.cert_time_to_seconds(str(told.get(name, ""))) for name in ("notBefore", "notAfter"))
            version = line.version()
    except (OSError, ValueError):  # by a proxy, whose certificate is not ours to look at
        yield Check("tls", "ok", "TLS, with a certificate that is accepted")
        return
    left = ends - time.time()
    words = f"{left / 86400:.0f} days" if left > 2 * 86400 else f"{left / 3600:.0f} hours"
    text = f"{version}, the certificate is valid for {words}"
    late = left < min(_EXPIRES * 86400, (ends - begins) / 4)
    yield Check("tls", "note", text, "it should have been renewed by now") if late else Check("tls", "ok", text)


def _version(server: Server) -> tuple[Check, bool]:
    """(what is found, whether it is an MLflow server at all)"""
    from nbledger.core import mlflow

    mine, answer = mlflow.version(), server.ask("GET", "/version")
    theirs = answer.body.decode(errors="replace").strip()
    numbers, own = _numbers(theirs), _numbers(mine) or (0, 0)
    text = f"MLflow {theirs} on the server, {mine} here"
    if answer.status in (401, 403):
        return Check("version", "note", "the server tells its version only to those who log in", f"set {LOGIN}"), True
    if answer.status != 200 or numbers is None:
        words = "the server tells no version: it is no MLflow, or a very old one"
        return Check("version", "problem", words, "MLflow 3.5 or newer"), False
    if numbers[0] != own[0]:
        fix = "the same major version on both sides: pip install, or nbledger server for the server"
        return Check("version", "problem", text, fix), True
    if numbers < (3, 5):
        fix = "update the server: before 3.5 it checks neither Host nor Origin of a request"
        return Check("version", "problem", text, fix), True
    if numbers < own:
        return Check("version", "note", text, "update the server: a newer client may ask what it does not know"), True
    return Check("version", "ok", text), True


def _numbers(version: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})[\w.+-]{0,40}", version, re.ASCII)
    return (int(found[1]), int(found[2])) if found else None


def _anonymous(server: Server) -> Iterator[Check]:
    """Without a login nothing may be had."""
    got = [
        path.partition("?")[0]
        for method, path, what in _OPEN_TO_ALL
        if _given(server.ask(method, path, what, login=False))
    ]
    if not got:
        yield Check("authentication", "ok", f"on: {len(_OPEN_TO_ALL)} requests without a login were refused")
    elif len(got) == len(_OPEN_TO_ALL):
        fix = "mlflow server --app-name basic-auth (nbledger server writes one), or a proxy that asks for a login"
        yield Check(
            "authentication", "problem", "off: whoever reaches the server can read, change and delete runs", fix
        )
    else:
        fix = "update MLflow, and let the proxy ask for a login on every path"
        yield Check("authentication", "problem", f"without a login the server still answers {', '.join(got)}", fix)


def _given(answer: Answered) -> bool:
    """Whether MLflow itself took the request: with 400 it has read what was asked."""
    return answer.status < 300 or answer.status == 400


def _person(server: Server) -> Iterator[Check]:
    if server.withheld:
        yield Check("login", "note", "your login was not sent: others could have read it on the way")
        return
    answer = server.ask("GET", f"{_API}/experiments/search?max_results=1")
    if server.login is None:
        if answer.status in (401, 403):
            yield Check(
                "login",
                "problem",
                "no login was found, neither in the environment nor in ~/.mlflow/credentials",
                f"set {LOGIN}",
            )
        return
    if answer.status == 401:
        yield Check("login", "problem", f"the login of {server.login.where} is not accepted", "check name and password")
        return
    user = server.ask("GET", f"{_API}/users/current").json().get("user", {})
    name = (
        f"logged in as {user['username']}" if isinstance(user, dict) and "username" in user else "the login is accepted"
    )
    if isinstance(user, dict) and user.get("is_admin"):
        fix = "everyday work needs no administrator: use a login of your own"
        yield Check("login", "note", f"{name}, an administrator ({server.login.where})", fix)
    else:
        yield Check("login", "ok", f"{name} ({server.login.where})")


def _permission(server: Server, experiment: str) -> Iterator[Check]:
    """Asked with a run that no server makes, since its start is no time: refused as wrong, or as not permitted."""
    name = experiment or "Default"
    known = _experiment(server, name)
    if known is None:
        if experiment:
            yield Check(
                "permission",
                "note",
                f"there is no experiment {name} yet, or you may not see it",
                "it is made with the first run",
            )
        return
    answer = server.ask("POST", f"{_API}/runs/create", {"experiment_id": known["experiment_id"], "start_time": "never"})
    if answer.status == 403:
        fix = "default_permission = EDIT on the server, or a permission of your own for it"
        yield Check("permission", "problem", f"you may not record runs in the experiment {name}", fix)
    elif answer.status == 400:
        yield Check("permission", "ok", f"runs can be recorded in the experiment {name}")
    elif answer.status != 401:
        yield Check("permission", "note", f"whether runs can be recorded in {name} is not known: {answer.status}")


def _experiment(server: Server, name: str) -> dict[str, Any] | None:
    query = urllib.parse.urlencode({"experiment_name": name})
    answer = server.ask("GET", f"{_API}/experiments/get-by-name?{query}")
    found = answer.json().get("experiment") if answer.status == 200 else None
    return found if isinstance(found, dict) and "experiment_id" in found else None


def _artifacts(server: Server, experiment: str) -> Iterator[Check]:
    """Written, read back and deleted, where the person may delete; nothing is written where it could not be taken away."""
    place = _deletable(server, experiment)
    if place is None:
        answer = server.ask("GET", f"{_ARTIFACTS}?path=")
        if answer.status in (401, 403):
            return
        if answer.status == 200:
            fix = "an administrator's --check writes one, and yours as soon as an experiment is your own"
            yield Check(
                "artifacts",
                "note",
                "the artifact store can be listed; writing was not tried, for you may not delete",
                fix,
            )
        else:
            yield _unwritable(answer)
        return
    sent = randomness.token_bytes(_PROBE)
    began = time.monotonic()
    try:
        answer = server.ask("PUT", f"{_ARTIFACTS}/{place}/probe.bin", sent)
        if answer.status >= 300:
            yield _unwritable(answer)
            return
        back = server.ask("GET", f"{_ARTIFACTS}/{place}/probe.bin")
    finally:
        gone = server.ask("DELETE", f"{_ARTIFACTS}/{place}")
    if back.status != 200 or back.body != sent:
        fix = "look at the server's log; several servers must share one artifact store"
        yield Check("artifacts", "problem", f"what was written is not what is read back ({back.status})", fix)
    elif gone.status >= 300:
        yield Check(
            "artifacts",
            "problem",
            f"written and read, but {place} could not be deleted ({gone.status})",
            "delete it by hand",
        )
    else:
        seconds = time.monotonic() - began
        yield Check(
            "artifacts", "ok", f"2 MB written through the server, read back equal and deleted ({seconds:.1f} s)"
        )


def _deletable(server: Server, experiment: str) -> str | None:
    """A folder that is not there, at a place where the person may delete; None where there is no such place."""
    answer = server.ask("GET", f"{_API}/experiments/search?max_results={_MOST_TRIED}")
    found = answer.json().get("experiments", [])
    first = _experiment(server, experiment) if experiment else None
    ids = [str(each.get("experiment_id")) for each in ([first] if first else []) + found if isinstance(each, dict)]
    name = f"nbledger-check-{randomness.token_hex(8)}"
    for place in (name, *(f"{each}/{name}" for each in dict.fromkeys(ids) if each.isdigit())):
        if server.ask("DELETE", f"{_ARTIFACTS}/{place}").status not in (401, 403):
            return place
    return None


def _unwritable(answer: Answered) -> Check:
    said = secrets.scrub(" ".join(str(answer.json().get("message", "")).split())[:200])
    if answer.status == 413:
        fix = "raise its limit: client_max_body_size 0 in nginx, proxy-body-size for an ingress"
        return Check("artifacts", "problem", "a proxy in front refuses artifacts of 2 MB as too large", fix)
    if answer.status in (404, 503) and not said:
        return Check(
            "artifacts",
            "problem",
            "the server passes no artifacts on",
            "mlflow server --serve-artifacts --artifacts-destination …",
        )
    fix = "its bucket, its keys, and whether it reaches the store: the server's log says more"
    return Check(
        "artifacts", "problem", f"the server cannot write artifacts ({answer.status}{f': {said}' if said else ''})", fix
    )


def _hosts(server: Server) -> Iterator[Check]:
    """A page that lets its own name point to the server (DNS rebinding) must not be answered."""
    answer = server.ask("GET", f"{_API}/experiments/search?max_results=1", headers={"Host": FOREIGN})
    if "experiments" in answer.json():
        fix = "mlflow server --allowed-hosts NAME,NAME:*"
        yield Check(
            "hosts", "problem", "the server answers to any Host: a web page could read it through DNS rebinding", fix
        )
    elif answer.status == 401:
        yield Check("hosts", "note", "whether a foreign Host is refused is not known without a login", f"set {LOGIN}")
    else:
        verb = "is refused" if answer.status >= 300 else "does not reach MLflow"
        yield Check("hosts", "ok", f"a request for another host {verb} ({answer.status})")


def _origins(server: Server) -> Iterator[Check]:
    """A page of another site must neither change anything nor read an answer."""
    foreign = {"Origin": f"https://{FOREIGN}"}
    answer = server.ask("POST", f"{_API}/runs/create", {"experiment_id": "0", "start_time": "never"}, headers=foreign)
    reading = server.ask("GET", f"{_API}/experiments/search?max_results=1", headers=foreign)
    allowed = {each.headers.get("access-control-allow-origin", "") for each in (answer, reading)}
    fix = "mlflow server --cors-allowed-origins https://NAME, and no *"
    if allowed & {"*", foreign["Origin"]}:
        yield Check("origins", "problem", "pages of any site may read answers (Access-Control-Allow-Origin)", fix)
    elif answer.status == 403 and b"ross-origin" in answer.body:
        yield Check("origins", "ok", "a request from a page of another site is refused (403)")
    elif answer.status in (401, 403):
        yield Check(
            "origins", "note", "whether pages of other sites are refused is not known without a login", f"set {LOGIN}"
        )
    else:
        yield Check("origins", "problem", f"a page of another site may send what changes runs ({answer.status})", fix)


def _clock(server: Server) -> Iterator[Check]:
    answer = server.ask("GET", "/health", login=False)
    try:
        theirs = email.utils.parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        yield Check("clock", "note", "the server does not say its time")
        return
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=dt.UTC)
    off = theirs.timestamp() + 0.5 - answer.middle  # a Date has whole seconds
    if abs(off) <= _CLOCK:
        yield Check("clock", "ok", "the server's clock and this machine's agree")
    else:
        text = f"the server's clock is {abs(off):,.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
        yield Check("clock", "problem", text, "set both by NTP: runs carry this machine's time, signed requests fail")


def _stores(server: Server) -> Iterator[Check]:
    kind = server.ask("GET", "/api/3.0/mlflow/server-info", login=False).json().get("store_type")
    if kind == "FileStore":
        fix = "mlflow server --backend-store-uri postgresql+psycopg2://…"
        yield Check(
            "database", "problem", "runs are kept as files, which is slow and loses writes of several people", fix
        )
    elif kind:
        yield Check("database", "ok", "runs are kept in an SQL database; which one a server does not tell")
    found = _experiment(server, "Default")
    if found is None:
        return
    place = str(found.get("artifact_location", ""))
    scheme = place.partition(":")[0] if ":" in place else "file"
    if scheme == "mlflow-artifacts":
        yield Check("root", "ok", "artifacts go through the server: people need no keys of the store")
    elif scheme == "file":
        fix = "mlflow server --artifacts-destination s3://…, without --default-artifact-root"
        yield Check("root", "problem", "artifacts are kept in a folder, which only the server's machine has", fix)
    else:
        fix = "--artifacts-destination in place of --default-artifact-root sends them through the server"
        yield Check("root", "note", f"artifacts go straight to {scheme}://: everybody needs keys for it", fix)
