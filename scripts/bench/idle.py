"""What a client connection costs a proxy in resident memory that says nothing more: after an answer, or in the middle of a head."""

import socket
import time
from dataclasses import asdict, dataclass

from measure import rss_kib
from processes import BenchError

REQUEST = b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n"

# What clients have sent when they fall silent.
STATES = {"idle": REQUEST, "half-sent": REQUEST + REQUEST[:40]}

# Long enough for a proxy to hand back what it only needed while it was working.
SETTLE_SECONDS = 1


@dataclass
class IdleSample:
    """Resident memory before and after the connections were opened."""

    connections: int
    before_kib: int
    after_kib: int

    @property
    def kib_each(self):
        return (self.after_kib - self.before_kib) / self.connections

    def as_json(self):
        return {**asdict(self), "kib_per_connection": self.kib_each}


def measure(process, port, connections, state):
    """Opens `connections` one by one, has one request answered on each, and leaves them open; half-sent: in the middle of another.

    The process should be fresh: memory that earlier traffic left with the allocator would hide the growth.
    """
    clients = []
    try:
        clients.append(_open(port, STATES[state]))
        time.sleep(SETTLE_SECONDS)
        before = rss_kib(process.pid)
        clients.extend(_open(port, STATES[state]) for _ in range(connections))
        time.sleep(SETTLE_SECONDS)
        after = rss_kib(process.pid)
        _expect_open(clients)
    finally:
        for client in clients:
            client.close()
    return IdleSample(connections, before, after)


def _open(port, request):
    try:
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        client.sendall(request)
        answer = b""
        while not _complete(answer):
            part = client.recv(64 * 1024)
            if not part:
                raise BenchError("a connection was closed before its answer was complete")
            answer += part
    except OSError as error:
        raise BenchError(f"a connection failed: {error}") from None
    return client


def _complete(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise BenchError(f"answered {head[:60]!r}")
    return len(body) >= 1024


def _expect_open(clients):
    closed = 0
    for client in clients:
        client.setblocking(False)
        try:
            closed += client.recv(1) == b""
        except BlockingIOError:
            pass
    if closed:
        raise BenchError(f"{closed} of {len(clients)} idle connections were closed")
