"""A web server that answers as ``mlflow models serve`` does, in a tenth of the time that takes to start: ``PORT VERSION KIND``.

KIND: good; raises (as a model whose ``predict`` raises); wrong (another prediction); dies:N (ends at its Nth request);
silent (takes connections and never answers); ended (never starts); sours:N (raises from its Nth request on); slow:S (takes S
seconds); hangs:N (does not answer from its Nth request on).
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, VERSION, (KIND, _, NUMBER) = int(sys.argv[1]), sys.argv[2], sys.argv[3].partition(":")
RAISED = {
    "error_code": "BAD_REQUEST",
    "message": "unexpected",
    "stack_trace": "Traceback\n  …\nValueError: no such wine",
}
asked = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if KIND == "silent":
            time.sleep(600)
        self.answer(200, {})

    def do_POST(self) -> None:
        global asked
        asked += 1
        words = self.rfile.read(int(self.headers["Content-Length"]))
        if KIND == "dies" and asked >= int(NUMBER):
            os._exit(1)
        if KIND == "slow":
            time.sleep(float(NUMBER))
        if KIND == "hangs" and asked >= int(NUMBER):
            time.sleep(600)
        if KIND == "raises" or (KIND == "sours" and asked >= int(NUMBER)):
            self.answer(400, RAISED)
        elif b"large" in words:
            self.answer(200, {"predictions": [VERSION] * 500_000})
        elif b"nonsense" in words:
            self.answer(400, {"error_code": "BAD_REQUEST", "message": "what is asked makes no sense"})
        else:
            self.answer(200, {"predictions": ["other"] if KIND == "wrong" else [len(words)], "by": VERSION})

    def log_message(self, *words: object) -> None:
        pass


if KIND == "ended":
    sys.exit("ImportError: No module named 'wine'")
server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
server.daemon_threads = True
server.serve_forever()
