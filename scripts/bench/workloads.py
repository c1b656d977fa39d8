"""The closed-loop workloads, and the check that a proxy answers one correctly before it is measured."""

import http.client
import socket
import subprocess
from dataclasses import dataclass

from processes import BenchError

KIB = 1024


@dataclass(frozen=True)
class Workload:
    """A request that every connection repeats."""

    title: str
    path: str
    answer_bytes: int
    headers: tuple = ()
    body_bytes: int = 0
    # What makes the load: wrk, h2load, or the program bench-websocket.
    client: str = "wrk"
    # What has to be configured alike, one of KINDS: workloads of one kind are measured on the same processes.
    kind: str = "http1"
    # Of h2load: connections, as a share of those of wrk, and the streams of each.
    fewer: int = 8
    streams: int = 8

    @property
    def scheme(self):
        return "https" if self.kind == "tls" else "http"


# HTTP/1.1 on both sides; HTTP/2 without TLS from the clients; the same to the servers; TLS from the clients; bytes.
KINDS = ("http1", "h2c", "grpc", "tls", "tcp")

WORKLOADS = {
    "small": Workload("1 KiB answers, keep-alive", "/1k", KIB),
    "large": Workload("64 KiB answers, keep-alive", "/64k", 64 * KIB),
    "chunked": Workload("64 KiB answers in chunks of 16 KiB, keep-alive", "/chunked", 64 * KIB),
    "post": Workload("POST with an 8 KiB body, keep-alive", "/post", 2, body_bytes=8 * KIB),
    "close": Workload("1 KiB answers, one connection per request", "/1k", KIB, headers=("Connection: close",)),
    "websocket": Workload("WebSocket, messages of 64 bytes back and forth", "/websocket", 64, client="websocket"),
    "h2c": Workload("1 KiB answers, HTTP/2 from the clients without TLS", "/1k", KIB, client="h2load", kind="h2c"),
    "grpc": Workload(
        "gRPC: unary calls of 1 KiB each way",
        "/bench.Test/Call",
        KIB,
        headers=("content-type: application/grpc", "te: trailers"),
        body_bytes=KIB,
        client="h2load",
        kind="grpc",
    ),
    "tls": Workload("1 KiB answers, TLS, keep-alive", "/1k", KIB, kind="tls"),
    "tls-large": Workload("64 KiB answers, TLS, keep-alive", "/64k", 64 * KIB, kind="tls"),
    "tls-close": Workload(
        "1 KiB answers, one connection and one handshake of TLS per request",
        "/1k",
        KIB,
        headers=("Connection: close",),
        kind="tls",
    ),
    "tls-h2": Workload("1 KiB answers, HTTP/2 over TLS", "/1k", KIB, client="h2load", kind="tls"),
    "tls-h2-streams": Workload(
        "1 KiB answers, HTTP/2 over TLS, few connections with many streams",
        "/1k",
        KIB,
        client="h2load",
        kind="tls",
        fewer=16,
        streams=100,
    ),
    "tcp": Workload("1 KiB answers, relayed as bytes", "/1k", KIB, kind="tcp"),
}

UPGRADE = ("Host: bench", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


def check(workload, port):
    """Sends the workload's request once; raises unless the whole right answer comes back."""
    if workload.client == "websocket":
        return check_websocket(workload, port)
    if workload.client == "h2load" or workload.scheme == "https":
        return check_with_curl(workload, port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        method, body = ("POST", b"x" * workload.body_bytes) if workload.body_bytes else ("GET", None)
        headers = dict(header.split(": ", 1) for header in workload.headers)
        connection.request(method, workload.path, body, headers)
        answer = connection.getresponse()
        got = len(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"no right answer: {error!r}") from None
    finally:
        connection.close()
    if (answer.status, got) != (200, workload.answer_bytes):
        raise BenchError(f"answered {answer.status} with {got} bytes")


def check_websocket(workload, port):
    """Switches one connection and has one message repeated."""
    message = b"\x82\xc0\0\0\0\0" + b"y" * workload.answer_bytes
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            connection.sendall("\r\n".join([f"GET {workload.path} HTTP/1.1", *UPGRADE, "", ""]).encode())
            stream = connection.makefile("rb")
            status = stream.readline()
            while stream.readline().strip():
                pass
            if b" 101 " not in status:
                raise BenchError(f"answered {status!r}")
            connection.sendall(message)
            if stream.read(len(message)) != message:
                raise BenchError("a message came back changed")
    except OSError as error:
        raise BenchError(f"no right answer: {error!r}") from None


def check_with_curl(workload, port):
    version = "2" if workload.client == "h2load" else "1.1"
    flag = "--http1.1" if version == "1.1" else "--http2" if workload.scheme == "https" else "--http2-prior-knowledge"
    command = ["curl", "--silent", "--show-error", "--insecure", flag, "--max-time", "3", "--output", "/dev/null"]
    command += ["--write-out", "%{http_version} %{http_code} %{size_download}"]
    command += [f"{workload.scheme}://127.0.0.1:{port}{workload.path}"]
    for header in workload.headers:
        command += ["--header", header]
    if workload.body_bytes:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, input=message(workload.body_bytes), capture_output=True)
    answer = done.stdout.decode()
    if answer != f"{version} 200 {workload.answer_bytes}":
        raise BenchError(f"answered {answer}: {done.stderr.decode().strip()}")


def message(size):
    """A message of gRPC: its prefix, and `size` bytes in all."""
    return b"\0" + (size - 5).to_bytes(4, "big") + b"x" * (size - 5) if size else b""
