"""Weir at its limits: 100 000 servers in 10 000 upstreams. What a change, a page and a write a second under load cost.

An answer to a write means that the next request obeys it, so the time to the answer is the time in force. The load is
paced, not a closed loop: 5 000 requests a second, before and during 50 commits a second, so that a step would show.
"""

import json
import pathlib
import random
import re
import statistics
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field

from measure import rss_kib
from processes import BenchError
from proxies import call

SCRIPT = pathlib.Path(__file__).parent / "configs" / "paced.lua"

# Enough for a p99 that is more than one sample.
CHANGES = 200
PAGES = 30
# Connections times requests a second of each: every one sends, waits for the answer, and then this long (ms).
CONNECTIONS, PAUSE_MS = 64, 10
COMMITS_PER_SECOND = 50

# Both long and checks are no part of what is measured; the second shows what they cost in memory.
CHECKS = {
    "checks off": {"enabled": False},
    "checks every 10m": {"enabled": True, "type": "tcp", "interval": "10m", "timeout": "5s"},
}


@dataclass
class ScaleSample:
    """What was measured with one setting of the health checks. Times are in milliseconds."""

    upstreams: int
    servers: int
    fill_seconds: float
    rss_mib: float
    rss_after_mib: float = 0
    times: dict = field(default_factory=dict)
    steps: dict = field(default_factory=dict)
    quiet: dict = field(default_factory=dict)
    busy: dict = field(default_factory=dict)
    commits: dict = field(default_factory=dict)

    def as_json(self):
        return asdict(self)


def measure(process, api, port, options, ports, checks):
    """Fills the Weir behind `api` and measures it."""
    upstreams = options.scale_upstreams
    started = time.perf_counter()
    _fill(api, upstreams, ports, CHECKS[checks])
    sample = ScaleSample(upstreams, upstreams * len(ports), time.perf_counter() - started, _settled(process))
    sample.times |= _changes(api, upstreams, ports)
    sample.times |= _pages(api, upstreams)
    sample.steps = _steps(api)
    sample.quiet = _load(port, options)
    sample.busy, sample.commits = _load_with_commits(api, port, options, upstreams, ports)
    sample.rss_after_mib = rss_kib(process.pid) / 1024
    return sample


def _fill(api, upstreams, ports, checks):
    for number in range(upstreams):
        servers = [f"127.0.0.1:{port}" for port in ports]
        body = {"id": f"u{number:05}", "health_check": checks, "servers": servers}
        call(api, "POST", "/v1/upstreams", json.dumps(body))


def _settled(process):
    """Resident memory once what the filling left behind (a last copy on disk, merged logs) is done."""
    time.sleep(5)
    return rss_kib(process.pid) / 1024


def _changes(api, upstreams, ports):
    """Times writes of one server in one upstream or another."""
    kinds = {"patch a server": [], "remove a server": [], "add a server": []}
    draw = random.Random(1)
    for number in range(CHANGES):
        servers = f"/v1/upstreams/u{draw.randrange(upstreams):05}/servers"
        address = f"127.0.0.1:{draw.choice(ports)}"
        name = address.replace(":", "-")
        kinds["patch a server"].append(timed(api, "PATCH", f"{servers}/{name}", {"weight": 2 + number % 7}))
        kinds["remove a server"].append(timed(api, "DELETE", f"{servers}/{name}"))
        kinds["add a server"].append(timed(api, "POST", servers, address))
    return kinds


def _pages(api, upstreams):
    """Times pages of health and of lists, wherever in the whole they begin."""
    kinds = {}
    draw = random.Random(2)
    somewhere = lambda: f"u{draw.randrange(upstreams):05}"
    pages = {
        "health, 1000 servers": lambda: f"/v1/health?limit=1000&after={somewhere()}",
        "health, all upstreams' states": lambda: "/v1/health?format=summary&limit=10000",
        "health, unhealthy servers": lambda: "/v1/health?state=unhealthy",
        "one upstream's health": lambda: f"/v1/upstreams/{somewhere()}/health",
        "list, 1000 upstreams": lambda: f"/v1/upstreams?limit=1000&after={somewhere()}",
    }
    for kind, path in pages.items():
        kinds[kind] = [timed(api, "GET", path()) for _ in range(PAGES)]
    return kinds


def timed(api, method, path, body=None):
    """Milliseconds from sending a request to having its whole answer."""
    text = json.dumps(body) if body is not None else None
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    started = time.perf_counter()
    api.request(method, path, text, {"Content-Type": kind})
    answer = api.getresponse()
    content = answer.read()
    elapsed = (time.perf_counter() - started) * 1000
    if answer.status >= 300:
        raise BenchError(f"{method} {path} answered {answer.status}: {content[:300].decode(errors='replace')}")
    return elapsed


def _steps(api):
    """Mean milliseconds of each step of a change, from Weir's own metrics."""
    api.request("GET", "/metrics")
    text = api.getresponse().read().decode()
    numbers = {}
    for line in re.findall(r"^weir_config_apply_seconds_(sum|count)\{step=\"(\w+)\"\} (\S+)$", text, re.M):
        numbers.setdefault(line[1], {})[line[0]] = float(line[2])
    return {step: both["sum"] / max(both["count"], 1) * 1000 for step, both in numbers.items()}


def _load(port, options):
    """Paced requests for a while; what the load generator saw."""
    command = ["taskset", "-c", options.load_core, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{options.scale_seconds}s"]
    command += ["--timeout", "5s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}/1k", "--", str(PAUSE_MS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=options.scale_seconds + 30)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise BenchError(f"wrk gave no result: {(done.stderr or done.stdout).strip()[-200:]}")
    return json.loads(line.removeprefix("RESULT "))


def _load_with_commits(api, port, options, upstreams, ports):
    """The same load while servers are changed; half of the changes in the upstream that serves the load."""
    times, stop, failure = [], threading.Event(), []

    def commit():
        draw = random.Random(3)
        due, number = time.perf_counter(), 0
        try:
            while not stop.is_set():
                upstream = 0 if number % 2 else draw.randrange(upstreams)
                path = f"/v1/upstreams/u{upstream:05}/servers/127.0.0.1-{draw.choice(ports)}"
                times.append(timed(api, "PATCH", path, {"weight": 1 + number % 100}))
                number += 1
                due += 1 / COMMITS_PER_SECOND
                time.sleep(max(0, due - time.perf_counter()))
        except (OSError, BenchError) as error:
            failure.append(error)

    # Weir may have closed the connection, idle during the load before; the next request opens another.
    api.close()
    thread = threading.Thread(target=commit)
    started = time.perf_counter()
    thread.start()
    try:
        seen = _load(port, options)
    finally:
        stop.set()
        thread.join()
    if failure:
        raise BenchError(f"a commit failed: {failure[0]}")
    rate = len(times) / (time.perf_counter() - started)
    return seen, {"per_second": rate, "times_ms": times}


def print_sample(name, sample):
    """The sample as a table."""
    print(f"\n  {name}: {sample.servers} servers in {sample.upstreams} upstreams, filled in {sample.fill_seconds:.0f} s")
    print(f"    RSS {sample.rss_mib:.0f} MiB, after the measurement {sample.rss_after_mib:.0f} MiB")
    print(f"    {'ms':32} {'median':>8} {'p99':>8} {'worst':>8}")
    for kind, times in [*sample.times.items(), ("commit under load", sample.commits["times_ms"])]:
        worst, p99 = max(times), statistics.quantiles(times, n=100)[-1] if len(times) > 1 else times[0]
        print(f"    {kind:32} {statistics.median(times):8.1f} {min(p99, worst):8.1f} {worst:8.1f}")
    if sample.steps:
        print("    mean ms of a change's steps: " + ", ".join(f"{step} {ms:.2f}" for step, ms in sample.steps.items()))
    for what, seen in (("quiet", sample.quiet), (f"{sample.commits['per_second']:.0f} commits/s", sample.busy)):
        rate = seen["requests"] / seen["micros"] * 1e6
        quantiles = ", ".join(f"{key} {seen[key + '_us'] / 1000:.2f}" for key in ("p50", "p99", "p999", "max"))
        print(f"    {what:14} {rate:6.0f} req/s, ms: {quantiles}; failed {seen['bad_status'] + seen['socket_errors']}")
