"""The command line: ``nbledger VERB …``. Results on standard output, errors in one line on standard error."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence

from nbledger.core.errors import LedgerError
from nbledger.core.records import plain


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 no, 2 wrong usage, 3 could not."""
    args = list(sys.argv[1:] if argv is None else argv)
    words = args[: args.index("--")] if "--" in args else args
    debug = "--debug" in words
    if debug:
        args.remove("--debug")
    try:
        return _run(args)
    except LedgerError as err:
        if debug:
            raise
        _complain(err, as_json="--json" in args)
        return err.exit_code
    except KeyboardInterrupt:
        # What was about to begin just then is never awaited; Python would say so below our line when it ends.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        print("nbledger: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 3
    except Exception as err:
        if debug:
            raise
        _complain(_told(err), as_json="--json" in args)
        return 3


def pre_push(argv: Sequence[str]) -> int:
    """What the installed Git hook calls, at every push: as ``main(["pre-push", …])``, without loading the other verbs."""
    from nbledger.commands.answer import Face
    from nbledger.commands.prepush_hook import asked

    try:
        answer = asked(Face(), *argv[:1])
    except LedgerError as err:
        _complain(err, as_json=False)
        return err.exit_code
    if answer is not None:
        print(answer.text.encode("utf-8", "replace").decode())
    return answer.code if answer is not None else 0


def _run(args: list[str]) -> int:
    import os

    from nbledger.commands.answer import Face
    from nbledger.commands.progress import bar
    from nbledger.commands.tree import run

    try:
        os.getcwd()
    except FileNotFoundError as err:
        raise LedgerError("the working directory is gone", "cd to a folder that exists") from err
    with bar() as progress:
        answer = run(args, Face(progress=progress))
    if answer is None:
        return 0
    if "--json" in args:
        print(json.dumps(plain(answer.data), ensure_ascii=False))
    else:
        print(answer.text.encode("utf-8", "replace").decode())
    return answer.code


def _told(err: Exception) -> LedgerError:
    """What nobody foresaw, in one line."""
    if isinstance(err, OSError):
        return LedgerError(f"{err.strerror or err}: {err.filename or ''}".rstrip(": "))
    words = " ".join(f"{type(err).__name__}: {err}".split())
    return LedgerError(f"this should not have happened: {words[:300]}", "--debug shows where; please report it")


def _complain(err: LedgerError, *, as_json: bool) -> None:
    if as_json:
        fields = err.as_dict()
        print(json.dumps({key: fields[key] for key in ("error", "hint", "code")}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"nbledger: {err}".encode("utf-8", "replace").decode(), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
