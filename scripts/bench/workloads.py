"""The closed-loop workloads, and the check that a proxy answers one correctly before it is measured."""

import http.client
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


WORKLOADS = {
    "small": Workload("1 KiB answers, keep-alive", "/1k", KIB),
    "large": Workload("64 KiB answers, keep-alive", "/64k", 64 * KIB),
    "chunked": Workload("64 KiB answers in chunks of 16 KiB, keep-alive", "/chunked", 64 * KIB),
    "post": Workload("POST with an 8 KiB body, keep-alive", "/post", 2, body_bytes=8 * KIB),
    "close": Workload("1 KiB answers, one connection per request", "/1k", KIB, headers=("Connection: close",)),
}


def check(workload, port):
    """Sends the workload's request once; raises unless the whole right answer comes back."""
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
