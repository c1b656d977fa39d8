"""What the tests here have in common: a Weir with one upstream, an HTTP/1.1 server, and clients that must not notice anything."""

import json
import os
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import weir

BINARY = os.environ["WEIR"]
PATIENCE = 30


class Handler(BaseHTTPRequestHandler):
    """Answers with the target and the method, or with as many bytes as `/bytes/N` asks for; a body comes back."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        if self.path.startswith("/bytes/"):
            body = b"x" * int(self.path.removeprefix("/bytes/"))
        answer = body or f"{self.command} {self.path}\n".encode()
        self.server.seen.append((self.command, self.path))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def _chunks(self):
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def log_message(self, *_):
        pass


class Origin(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        """A client that has gone is what some of the tests are about."""


@contextmanager
def origin():
    """A server. Yields it, with `address` and `seen`."""
    server = Origin(("127.0.0.1", 0), Handler)
    server.seen = []
    server.address = "127.0.0.1:%d" % server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def balanced(address, *flags, **upstream):
    """A Weir in front of the server at `address`. Yields its data port as host and port, and the URL of its API."""
    with weir.running(BINARY, *flags) as (data, admin):
        document = {"servers": [address], "health_check": {"enabled": False}, **upstream}
        call(admin, "PUT", "/v1/upstreams/default", document)
        host, port = data.removeprefix("http://").rsplit(":", 1)
        yield (host, int(port)), admin


def call(admin, method, path, document=None):
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(admin + path, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def metric(admin, name):
    with urllib.request.urlopen(admin + "/metrics", timeout=PATIENCE) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise SystemExit(f"there is no {name}")


def eventually(what, probe):
    """The first true value of `probe`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := probe():
            return value
        time.sleep(0.02)
    raise SystemExit(f"not in time: {what}")


class Bystanders:
    """Clients that send a request after the other, and count."""

    def __init__(self, data, count=4):
        self.data, self.served, self.failures, self.ends = data, 0, [], threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def _run(self):
        connection = HTTPConnection(*self.data, timeout=5)
        while not self.ends.is_set():
            try:
                connection.request("GET", "/bystander")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
                self.served += 1
            except Exception as error:  # whatever it is, this client has noticed something
                self.failures.append(repr(error))
                return
            time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        eventually("the bystanders are served", lambda: self.served >= len(self.threads))
        return self

    def __exit__(self, kind, *_):
        self.ends.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        assert kind or not self.failures, self.failures


def run(*tests):
    """Runs tests, each with its name and time."""
    for test in tests:
        began = time.monotonic()
        test()
        print(f"{test.__name__}: ok ({time.monotonic() - began:.1f} s)", flush=True)
