"""The first five minutes, done by a client that was generated from the description of the API."""

import os
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts/openapi"))

import weir
from weir_client import Client
from weir_client.api.drains import start_drain
from weir_client.api.health import get_health, get_server_health
from weir_client.api.servers import add_servers
from weir_client.api.upstreams import create_upstream, get_upstream, patch_upstream
from weir_client.models import DrainRequest, Problem, Upstream, UpstreamPatch

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
PATIENCE = 20


class Origin(BaseHTTPRequestHandler):
    """Answers with its own port."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def origin():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise SystemExit(f"never: {what}")


def answers(data, count=20):
    return {int(urllib.request.urlopen(data, timeout=5).read()) for _ in range(count)}


def first_five_minutes(data, admin):
    client = Client(base_url=admin)
    first, second, third = origin(), origin(), origin()

    made = create_upstream.sync(
        client=client,
        body=Upstream(id="web", servers=[f"127.0.0.1:{first}", f"127.0.0.1:{second}"]),
        idempotency_key="five-minutes",
    )
    assert made.id == "web" and made.bound_routes == ["default"], made
    assert {server.address for server in made.servers} == {f"127.0.0.1:{first}", f"127.0.0.1:{second}"}

    def is_healthy(count):
        health = get_health.sync(client=client)
        return health.totals.healthy == count and health.status == "ok"

    eventually("both servers are healthy", lambda: is_healthy(2))
    eventually("both servers answer", lambda: answers(data) == {first, second})

    added = add_servers.sync(client=client, upstream="web", body=f"127.0.0.1:{third}")
    eventually("three servers are healthy", lambda: is_healthy(3))
    changed = patch_upstream.sync(client=client, upstream="web", body=UpstreamPatch(algorithm="round_robin"))
    assert changed.algorithm == "round_robin", changed
    eventually("all three answer", lambda: answers(data) == {first, second, third})

    drain = start_drain.sync(client=client, upstream="web", server=added.id, body=DrainRequest(timeout="5s"))
    assert drain.server == added.id, drain
    assert third not in answers(data), "a drained server got a request"
    health = get_server_health.sync(client=client, upstream="web", server=added.id)
    assert health.admin_state == "drain", health

    missing = get_upstream.sync(client=client, upstream="none")
    assert isinstance(missing, Problem) and missing.code == "not_found", missing


if __name__ == "__main__":
    with weir.running(TARGET / "debug/weir", "--store", "memory") as (data, admin):
        first_five_minutes(data, admin)
    print("the generated client did the first five minutes")
