"""One measurement: wrk in a closed loop against one proxy, and what that cost the proxy's processes."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from processes import BenchError, tree

SCRIPT = pathlib.Path(__file__).parent / "configs" / "wrk.lua"
H2LOAD = pathlib.Path(__file__).parent / "h2load.py"

# After wrk has left, long enough for the proxy to fall asleep, which is when the kernel books its last time slice.
SETTLE_SECONDS = 0.1


@dataclass
class Sample:
    """What one run against one proxy showed."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    bad_status: int
    socket_errors: int
    cpu_seconds: float
    user_seconds: float
    disturbed_seconds: float
    rss_kib: int

    @property
    def cpu_us(self):
        return self.cpu_seconds / max(self.requests, 1) * 1e6

    @property
    def user_us(self):
        """The part of `cpu_us` spent in the proxy's own code; the rest is the kernel's."""
        return self.user_seconds / max(self.requests, 1) * 1e6

    @property
    def per_second(self):
        return self.requests / self.seconds

    @property
    def core_percent(self):
        return self.cpu_seconds / self.seconds * 100

    @property
    def disturbed_percent(self):
        return self.disturbed_seconds / self.seconds * 100

    @property
    def errors(self):
        return self.bad_status + self.socket_errors

    def as_json(self):
        return {**asdict(self), "cpu_us_per_request": self.cpu_us, "requests_per_second": self.per_second}


class CpuClock:
    """CPU time of a process and its children from now on.

    /proc/PID/task/TID/schedstat counts in nanoseconds but knows live threads only; /proc/PID/stat keeps the time of
    ended threads too, in ticks of 10 ms. So: the first, unless a thread ended on the way.
    """

    def __init__(self, pid):
        self.pid = pid
        self.tasks, self.ticks = _task_nanos(pid), _ticks(pid)
        self.user = _ticks(pid, ("utime",))

    def seconds(self):
        tasks = _task_nanos(self.pid)
        if self.tasks.keys() <= tasks.keys():
            return sum(nanos - self.tasks.get(task, 0) for task, nanos in tasks.items()) / 1e9
        return (_ticks(self.pid) - self.ticks) / os.sysconf("SC_CLK_TCK")

    def user_seconds(self):
        """The part outside the kernel, in ticks of 10 ms."""
        return (_ticks(self.pid, ("utime",)) - self.user) / os.sysconf("SC_CLK_TCK")


def run(process, workload, port, options, seconds):
    """Runs `workload` for `seconds` against the proxy `process` on `port`."""
    command = ["taskset", "-c", options.load_core, *load(workload, port, options, seconds)]
    clock, busy = CpuClock(process.pid), _busy_seconds(options.proxy_core)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    time.sleep(SETTLE_SECONDS)
    cpu_seconds, user_seconds = clock.seconds(), clock.user_seconds()
    disturbed = max(0, _busy_seconds(options.proxy_core) - busy - cpu_seconds)
    if process.poll() is not None:
        raise BenchError("the process ended during the run")
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise BenchError(f"the load gave no result: {(done.stderr or done.stdout).strip()[-200:]}")
    result = json.loads(line.removeprefix("RESULT "))
    if result["requests"] == 0:
        raise BenchError("not one request was answered")
    return Sample(
        seconds=result.pop("micros") / 1e6,
        cpu_seconds=cpu_seconds,
        user_seconds=user_seconds,
        disturbed_seconds=disturbed,
        rss_kib=rss_kib(process.pid),
        **result,
    )


def load(workload, port, options, seconds):
    """The command that makes the load."""
    url = f"{workload.scheme}://127.0.0.1:{port}{workload.path}"
    if workload.client == "websocket":
        sizes = (port, workload.path, options.connections, seconds, workload.answer_bytes)
        return [str(options.websocket), *map(str, sizes)]
    if workload.client == "h2load":
        connections = max(options.connections // workload.fewer, 1)
        sizes = [connections, workload.streams, seconds, workload.body_bytes]
        return [sys.executable, str(H2LOAD), url, *map(str, sizes), *workload.headers]
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(SCRIPT)]
    for header in workload.headers:
        command += ["-H", header]
    return [*command, url, "--", str(workload.body_bytes)]


def rss_kib(pid):
    """Resident memory of a process and its children."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{member}/status").read_text()
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total


def _busy_seconds(core):
    """Time the core was not idle, the hypervisor's share (steal) included."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, _, ticks = line.partition(" ")
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks.split()[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"there is no core {core}")


def _task_nanos(pid):
    nanos = {}
    for member in tree(pid):
        for file in pathlib.Path(f"/proc/{member}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # ended between the listing and the reading
                nanos[file.parent] = int(file.read_text().split()[0])
    return nanos


def _ticks(pid, kinds=("utime", "stime")):
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            # The command name, in parentheses, may hold blanks; utime and stime are fields 14 and 15.
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            times = {"utime": int(fields[11]), "stime": int(fields[12])}
            total += sum(times[kind] for kind in kinds)
    return total
