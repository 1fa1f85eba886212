"""Clients who ask a served model without a pause, and notice every request that fails."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self


class Load:
    """Four clients who ask ``words`` all the time (every ``pause`` seconds), each on a connection that it keeps. ``failed``:
    every answer that is not ``right`` (by the version that gave it); ``answered``: how many each version gave.
    """

    def __init__(
        self, port: int, words: Sequence[str], right: Callable[[str, Any], bool], pause: float = 0.005
    ) -> None:
        self.port, self.words, self._right, self._pause = port, words, right, pause
        self.stop = threading.Event()
        self.failed: list[str] = []
        self.answered: dict[str, int] = {}
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(4)]

    def _client(self, number: int) -> None:
        words = self.words[number % len(self.words)]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stop.is_set():
            try:
                connection.request("POST", "/invocations", words, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                told = json.loads(answer.read())
                by = str(answer.headers["X-Model-Version"])
                if answer.status != 200 or not self._right(by, told["predictions"]):
                    self.failed.append(f"version {by}: {answer.status} {told}")
                self.answered[by] = self.answered.get(by, 0) + 1
            except (OSError, http.client.HTTPException, ValueError, KeyError) as err:
                self.failed.append(repr(err))
                connection.close()
            time.sleep(self._pause)
        connection.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()
