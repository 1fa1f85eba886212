"""What DVC and the clouds' libraries say of a remote that fails, as one line that says what is wrong and what to do.

They are known by the names of their classes and by their codes: none of their packages is imported. DVC logs most failures
of a transfer and goes on, and raises how many there were; ``listening`` keeps what it logged.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nbledger.core import secrets
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable
from nbledger.core.remoteurl import KINDS

_LOGGERS = (
    "dvc",
    "dvc_data",
    "dvc_objects",
    "gcsfs",
    "adlfs",
    "azure",
    "s3fs",
    "sshfs",
    "asyncssh",
    "botocore",
    "google",
)
_MOST = 20


@dataclass
class Heard:
    """What was logged of failures: the exceptions, and the first lines of the messages."""

    errors: list[BaseException] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class _Ear(logging.Handler):
    def __init__(self, heard: Heard) -> None:
        super().__init__(logging.WARNING)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and len(self.heard.errors) < _MOST:
            self.heard.errors.append(record.exc_info[1])
        if len(self.heard.lines) < _MOST:
            self.heard.lines.append(record.getMessage().strip())


_lock = threading.Lock()
_listeners = 0
_before: dict[str, bool] = {}
_silenced: dict[str, list[logging.Handler]] = {}


@contextlib.contextmanager
def listening() -> Iterator[Heard]:
    """Keep what DVC and the clouds' libraries log, which may hold addresses with signatures, from the terminal. DVC gives its
    loggers handlers of their own when it is imported: those that are there when this begins are silent.
    """
    global _listeners
    heard = Heard()
    ear = _Ear(heard)
    with _lock:
        _listeners += 1
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            _before.setdefault(name, logger.propagate)
            logger.propagate = False
            own = [handler for handler in logger.handlers if not isinstance(handler, _Ear)]
            _silenced.setdefault(name, []).extend(own)
            for handler in own:
                logger.removeHandler(handler)
            logger.addHandler(ear)
    try:
        yield heard
    finally:
        with _lock:
            _listeners -= 1
            for name in _LOGGERS:
                logger = logging.getLogger(name)
                logger.removeHandler(ear)
                if not _listeners:
                    logger.propagate = _before.pop(name, True)
                    for handler in _silenced.pop(name, []):
                        logger.addHandler(handler)


def chain(err: BaseException) -> list[BaseException]:
    """The error and what it came from."""
    causes = [err]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 10:
        causes.append(cause)
    return causes


def names(causes: Sequence[BaseException]) -> set[str]:
    """Names of the classes of these errors, and of those they are derived from."""
    return {cls.__name__ for cause in causes for cls in type(cause).__mro__}


def missing_plugin(err: ImportError) -> LedgerError | None:
    """The complaint where what is missing is DVC's plugin for a kind of remote."""
    found = re.search(r"requires '?dvc-([a-z0-9]+)'?", str(err))
    kind = KINDS.get(found[1]) if found else None
    if kind is None or found is None:
        return None
    return LedgerError(f"DVC's plugin for {kind.title} is not installed here", kind.install)


def missing_parts(causes: Sequence[BaseException]) -> LedgerError | None:
    """As ``missing_plugin``, where the plugin is there and something it stands on is not."""
    for cause in causes:
        kind = KINDS.get(str(getattr(cause, "protocol", "")))
        if kind is not None and getattr(cause, "missing_deps", None):
            lacking = ", ".join(str(name) for name in getattr(cause, "missing_deps", ()))
            return LedgerError(f"DVC's plugin for {kind.title} lacks {lacking}", kind.install)
    return None


@dataclass(frozen=True)
class _Said:
    """A failure as the rules look at it."""

    names: set[str]
    codes: set[str]
    words: str
    place: str
    scheme: str
    last: str
    lost: bool


def explain(errors: Sequence[BaseException], *, writing: bool = False) -> LedgerError | None:
    """Why the remote failed, by these errors and what they came from; None where no rule knows them. ``writing``: they came
    up as something was sent, so that what was not found is the bucket.
    """
    for err in errors:
        said = _said(chain(err), writing=writing)
        for rule in _RULES:
            if (found := rule(said)) is not None:
                return found
    return None


def _said(causes: Sequence[BaseException], *, writing: bool) -> _Said:
    scheme = next((known for cause in causes if (known := _library(cause))), "")
    title = KINDS[scheme].title if scheme else "the data remote"
    words = " ".join(_one_line(cause) for cause in causes)
    codes = {code for cause in causes for code in _codes(cause)}
    lost = writing and any(isinstance(cause, FileNotFoundError) and cause.filename is None for cause in causes)
    return _Said(names(causes), codes, words, title, scheme, _last(causes), lost)


_LIBRARIES = {
    **dict.fromkeys(("botocore", "aiobotocore", "s3fs", "boto3", "dvc_s3"), "s3"),
    **dict.fromkeys(("azure", "adlfs", "dvc_azure"), "azure"),
    **dict.fromkeys(("google", "gcsfs", "dvc_gs"), "gs"),
    **dict.fromkeys(("asyncssh", "sshfs", "dvc_ssh"), "ssh"),
}


def _library(cause: BaseException) -> str:
    """The kind of remote whose library the error is of, or came up in."""
    modules = [cls.__module__ for cls in type(cause).__mro__]
    trace = cause.__traceback__
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    return next((_LIBRARIES[top] for module in modules if (top := module.partition(".")[0]) in _LIBRARIES), "")


def _codes(cause: BaseException) -> Iterator[str]:
    """Codes as the services give them: boto's response, Azure's ``error_code``, a status of HTTP."""
    response = getattr(cause, "response", None)
    if isinstance(response, dict):
        yield str((response.get("Error") or {}).get("Code", ""))
        yield str((response.get("ResponseMetadata") or {}).get("HTTPStatusCode", ""))
    for name in ("error_code", "status", "status_code", "code"):
        if name == "code" and hasattr(cause, "status"):  # aiohttp warns of its former name
            continue
        value = getattr(cause, name, None)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            yield str(getattr(value, "value", value))


def _one_line(cause: BaseException) -> str:
    return secrets.scrub(" ".join(str(cause).split()) or type(cause).__name__)


def _last(causes: Sequence[BaseException]) -> str:
    """The words that tell most: those of the deepest error that has some."""
    told = [text for cause in causes if (text := " ".join(str(cause).split()))]
    text = secrets.scrub(told[-1] if told else type(causes[-1]).__name__)
    text = re.sub(r"\s*(RequestId:\S+|Time:\S+|Content: <\?xml.*)", "", text)
    return text if len(text) <= 240 else f"{text[:240]}…"


_LOOK = "nbledger doctor says which credentials it found and where it looked"
_LOG_IN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure (aws sso login)",
    "gs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "set AZURE_STORAGE_CONNECTION_STRING, or the account's name and run az login",
    "ssh": "load your key (ssh-add), or name it: dvc remote modify --local NAME keyfile PATH",
}


def _login(said: _Said) -> str:
    return f"{_LOG_IN[said.scheme]}; {_LOOK}" if said.scheme in _LOG_IN else _LOOK


def _clock(said: _Said) -> LedgerError | None:
    if "RequestTimeTooSkewed" in said.codes or re.search(
        r"date header (is )?too old|too skewed|reasonable timeframe|check your iat and exp", said.words, re.IGNORECASE
    ):
        return Refused(
            f"{said.place} refused the request: this machine's clock is wrong", "set the clock, then try again"
        )
    return None


def _tls(said: _Said) -> LedgerError | None:
    if "WRONG_VERSION_NUMBER" in said.words or "record layer failure" in said.words:
        return Refused(f"{said.place} does not speak TLS at that address", "is endpointurl to begin with http:// ?")
    known = said.names & {"SSLError", "SSLCertVerificationError", "ClientConnectorCertificateError", "CertificateError"}
    if known or "CERTIFICATE_VERIFY_FAILED" in said.words or "SSL validation failed" in said.words:
        return Refused(
            f"the certificate of {said.place} is not one that this machine trusts: {said.last}",
            "name your organisation's CA: dvc remote modify --local NAME ssl_verify /path/ca.pem (S3: or AWS_CA_BUNDLE)",
        )
    return None


def _no_credential(said: _Said) -> LedgerError | None:
    if "ProfileNotFound" in said.names:
        return Refused(f"the AWS profile is not there: {said.last}", "aws configure --profile NAME, or another profile")
    if "PartialCredentialsError" in said.names:
        return Refused(f"half of a credential for {said.place} is there: {said.last}", _LOOK)
    known = {"NoCredentialsError", "DefaultCredentialsError", "CredentialUnavailableError", "NoAuthTokenError"}
    if said.names & known or re.search(r"requires either account_name or|Anonymous caller does not have", said.words):
        return Refused(f"no credential for {said.place} was found", _login(said))
    return None


def _expired(said: _Said) -> LedgerError | None:
    codes = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
    known = {"UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError", "LoginRefreshRequired"}
    if said.codes & codes or said.names & known or "ExpiredToken" in said.words:
        return Refused(f"the credential for {said.place} has expired", _login(said))
    return None


def _wrong_credential(said: _Said) -> LedgerError | None:
    codes = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed", "InvalidSecurity"}
    codes |= {"InvalidClientTokenId", "UnrecognizedClientException", "NoAuthenticationInformation", "401"}
    known = {"ClientAuthenticationError", "RefreshError", "KeyImportError", "KeyEncryptionError", "AzureAuthError"}
    if "HostKeyNotVerifiable" in said.names:
        return Refused(
            f"the SSH server's key is not the one that is known: {said.last}", "ask who looks after that server"
        )
    if "PermissionDenied" in said.names:  # asyncssh
        return Refused(f"the SSH server did not let you in: {said.last}", _login(said))
    if said.codes & codes or said.names & known or "failed to authenticate the request" in said.words:
        return Refused(f"{said.place} does not accept the credential: {said.last}", _login(said))
    return None


def _nowhere(said: _Said) -> LedgerError | None:
    codes = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "AccountNotFound"}
    bucket = "container" if said.scheme == "azure" else "bucket"
    lost = said.lost and said.scheme in ("s3", "gs", "azure")
    if (
        lost
        or said.codes & codes
        or re.search(
            rf"specified {bucket} does not exist|bucket.{{0,80}}(not found|does not exist)|NoSuchBucket",
            said.words,
            re.IGNORECASE,
        )
    ):
        return Refused(
            f"the {bucket} is not there: {said.last}", "make it, or give its right name: nbledger init --remote URL"
        )
    return None


def _elsewhere(said: _Said) -> LedgerError | None:
    codes = {
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "TemporaryRedirect",
    }
    if said.codes & codes:
        return Refused(
            f"the bucket is in another region: {said.last}", "nbledger init --remote URL --remote-option region=REGION"
        )
    return None


def _forbidden(said: _Said) -> LedgerError | None:
    codes = {"AccessDenied", "403", "AllAccessDisabled", "AuthorizationFailure", "AuthorizationPermissionMismatch"}
    codes |= {"AuthorizationSourceIPMismatch", "InsufficientAccountPermissions", "AccountProblem"}
    if said.scheme == "s3" and re.search(r"\(403\) when calling the Head", said.words):  # such an answer has no words
        return Refused(
            "S3 refused: it does not accept the credential, or that has no right there (403)",
            "nbledger doctor tries it and says which",
        )
    if not said.scheme and "PermissionError" in said.names:
        return Refused(f"not allowed: {said.last}", "that path must be yours, or your group's to write to")
    if said.codes & codes or said.names & {"SFTPPermissionDenied", "PermissionError"} or "Forbidden: " in said.words:
        return Refused(
            f"{said.place} does not allow it: {said.last}",
            f"ask who looks after it for the right to list, read and write there; {_LOOK}",
        )
    return None


def _takes_nothing(said: _Said) -> LedgerError | None:
    if said.codes & {"405", "501"}:
        return Refused(
            f"the data remote takes no data this way: {said.last}",
            "it may be for reading only; or: dvc remote modify NAME method PUT",
        )
    return None


_AWAY = frozenset(
    {
        *("ConnectionError", "TimeoutError", "EndpointConnectionError", "gaierror", "ClientConnectorError"),
        *("ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "SSHException", "ServiceRequestError"),
        *("ServiceResponseError", "FSTimeoutError", "ClientOSError", "ServerDisconnectedError", "ConnectionLost"),
        *("DisconnectError", "ServerTimeoutError", "ProxyConnectionError", "TransportError", "ClientConnectionError"),
    }
)


def _away(said: _Said) -> LedgerError | None:
    if said.names & _AWAY or said.codes & {"503", "502", "504", "SlowDown", "ServiceUnavailable", "ServerBusy"}:
        return Unreachable(
            f"{said.place} did not answer: {said.last}",
            "check the network and the remote's address; what is tracked stays in the cache until then",
        )
    return None


def _other(said: _Said) -> LedgerError | None:
    return ToolFailed(f"{said.place}: {said.last}", _LOOK) if said.scheme else None


_RULES = (
    *(
        _clock,
        _tls,
        _no_credential,
        _expired,
        _wrong_credential,
        _nowhere,
        _elsewhere,
        _forbidden,
        _takes_nothing,
        _away,
    ),
    _other,
)
