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
    # What the servers are.
    servers: str = "http1"

    @property
    def kind(self):
        """What has to be configured alike: workloads of one kind are measured on the same processes."""
        if self.servers == "grpc":
            return "grpc"
        return "h2c" if self.client == "h2load" else "http1"


WORKLOADS = {
    "small": Workload("1 KiB answers, keep-alive", "/1k", KIB),
    "large": Workload("64 KiB answers, keep-alive", "/64k", 64 * KIB),
    "chunked": Workload("64 KiB answers in chunks of 16 KiB, keep-alive", "/chunked", 64 * KIB),
    "post": Workload("POST with an 8 KiB body, keep-alive", "/post", 2, body_bytes=8 * KIB),
    "close": Workload("1 KiB answers, one connection per request", "/1k", KIB, headers=("Connection: close",)),
    "websocket": Workload("WebSocket, messages of 64 bytes back and forth", "/websocket", 64, client="websocket"),
    "h2c": Workload("1 KiB answers, HTTP/2 from the clients without TLS", "/1k", KIB, client="h2load"),
    "grpc": Workload(
        "gRPC: unary calls of 1 KiB each way",
        "/bench.Test/Call",
        KIB,
        headers=("content-type: application/grpc", "te: trailers"),
        body_bytes=KIB,
        client="h2load",
        servers="grpc",
    ),
}

UPGRADE = ("Host: bench", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


def check(workload, port):
    """Sends the workload's request once; raises unless the whole right answer comes back."""
    if workload.client == "websocket":
        return check_websocket(workload, port)
    if workload.client == "h2load":
        return check_http2(workload, port)
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


def check_http2(workload, port):
    command = ["curl", "--silent", "--http2-prior-knowledge", "--max-time", "3", "--output", "/dev/null"]
    command += ["--write-out", "%{http_code} %{size_download}", f"http://127.0.0.1:{port}{workload.path}"]
    for header in workload.headers:
        command += ["--header", header]
    if workload.body_bytes:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, input=message(workload.body_bytes), capture_output=True)
    answer = done.stdout.decode().split()
    if answer[:2] != ["200", str(workload.answer_bytes)]:
        raise BenchError(f"answered {' '.join(answer)}")


def message(size):
    """A message of gRPC: its prefix, and `size` bytes in all."""
    return b"\0" + (size - 5).to_bytes(4, "big") + b"x" * (size - 5) if size else b""
