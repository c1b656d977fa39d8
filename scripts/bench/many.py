"""Weir with thousands of servers in one upstream: cost per request, and how long an API change takes to be in force.

An answer to a write means that the next request obeys it, so the time to the answer is the time in force.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass

from proxies import call

# One process per so many ports: each needs a descriptor to listen and at least one per connection.
PORTS_PER_ORIGIN = 2500

# Checks of thousands of servers are a cost of their own; here they shall not fall into the measurement.
HEALTH_CHECK = {"enabled": False}

CHANGES = 20

# Those that keep connections to thousands of servers.
PEERS = ("nginx", "haproxy")


@dataclass
class ChangeSample:
    """Milliseconds from sending a write to its answer, for `CHANGES` of each kind."""

    servers: int
    create_ms: float
    patch_ms: list
    add_ms: list
    remove_ms: list

    def as_json(self):
        return asdict(self)

    def medians(self):
        return [(kind, statistics.median(times), max(times)) for kind, times in self._kinds()]

    def _kinds(self):
        return [("patch a server", self.patch_ms), ("add a server", self.add_ms), ("remove a server", self.remove_ms)]


def start_origins(processes, start_origin, first_port, count):
    """Starts as many origins as it takes to listen on `count` ports from `first_port` on."""
    for offset in range(0, count, PORTS_PER_ORIGIN):
        start_origin(f"origin-many-{offset}", first_port + offset, min(PORTS_PER_ORIGIN, count - offset))
    return [first_port + number for number in range(count)]


def start_weir(weir, processes, setup, ports):
    """Starts Weir with one upstream of all `ports`; returns the process, its API and how long the POST took (ms)."""
    process, api = weir.launch(processes, setup)
    servers = [{"id": f"s{port}", "address": f"127.0.0.1:{port}"} for port in ports]
    upstream = {"id": "bench", "health_check": HEALTH_CHECK, "servers": servers}
    return process, api, _timed(api, "POST", "/v1/upstreams", upstream)


def measure_changes(api, ports, create_ms):
    """Times writes of one server: another weight, that server removed, the same server added again."""
    servers = "/v1/upstreams/bench/servers"
    sample = ChangeSample(len(ports), create_ms, [], [], [])
    for number in range(CHANGES):
        sample.patch_ms.append(_timed(api, "PATCH", f"{servers}/s{ports[0]}", {"weight": 2 - number % 2}))
        sample.remove_ms.append(_timed(api, "DELETE", f"{servers}/s{ports[0]}"))
        sample.add_ms.append(_timed(api, "POST", servers, {"id": f"s{ports[0]}", "address": f"127.0.0.1:{ports[0]}"}))
    return sample


def _timed(api, method, path, body=None):
    text = json.dumps(body) if body is not None else None
    started = time.perf_counter()
    call(api, method, path, text)
    return (time.perf_counter() - started) * 1000
