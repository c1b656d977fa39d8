"""A load of HTTP/2 by h2load: `h2load.py URL CONNECTIONS STREAMS SECONDS BODY [HEADER ...]`. Prints one line of JSON, as the
script of wrk does."""

import json
import re
import subprocess
import sys
import tempfile

import workloads


def main():
    url, connections, streams, seconds, body, *headers = sys.argv[1:]
    with tempfile.NamedTemporaryFile() as log, tempfile.NamedTemporaryFile() as content:
        command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log.name}"]
        if int(body):
            content.write(workloads.message(int(body)))
            content.flush()
            command += [f"--data={content.name}"]
        for header in headers:
            command += ["-H", header]
        done = subprocess.run([*command, url], capture_output=True, text=True)
        rows = [line.split() for line in open(log.name)]
    if not rows:
        sys.exit(done.stderr or done.stdout)
    # Each line: when it began, its status (-1: none), how long it took.
    times = sorted(int(micros) for _, status, micros in rows if status.startswith("2"))
    finished = re.search(r"finished in ([\d.]+)(ms|s)", done.stdout)
    micros = float(finished[1]) * (1e6 if finished[2] == "s" else 1e3) if finished else float(seconds) * 1e6
    print("RESULT " + json.dumps({
        "requests": len(times),
        "micros": micros,
        "p50_us": quantile(times, 0.5),
        "p99_us": quantile(times, 0.99),
        "bad_status": sum(1 for _, status, _ in rows if not status.startswith(("2", "-"))),
        "socket_errors": sum(1 for _, status, _ in rows if status.startswith("-")),
    }))


def quantile(times, share):
    return times[min(int(len(times) * share), len(times) - 1)] if times else 0


main()
