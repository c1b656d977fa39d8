"""How long clients wait that do not wait for each other: an open loop at fixed rates, the same for every proxy.

A closed loop stops asking while a proxy is held up, and so does not see what it does to those who come meanwhile. Here times
run from the moment a request was due, be it that it waited for a connection. The rates are shares of what the slowest proxy did in the closed loop `small`.
"""

import json
import statistics
import subprocess

from processes import BenchError

SHARES = (50, 80)
QUANTILES = ("p50_ms", "p99_ms", "p999_ms")


def measure(process, port, options, rate, seed):
    """One run of `rate` requests a second; what the client counted."""
    sizes = (port, "/1k", f"{rate:.0f}", options.warm_up, options.duration, seed, options.connections)
    command = ["taskset", "-c", options.load_core, str(options.open_loop), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=options.warm_up + options.duration + 30)
    if process.poll() is not None:
        raise BenchError("the process ended during the run")
    if done.returncode != 0:
        raise BenchError(f"the client failed: {done.stderr.strip()[-200:]}")
    result = json.loads(done.stdout)
    if not result["answered"]:
        raise BenchError("not one request was answered")
    return result


def summarise(runs):
    """Medians over the rounds, and all that was lost."""
    row = {key: statistics.median(run[key] for run in runs) for key in (*QUANTILES, "late_p99_ms")}
    return {**row, "lost": sum(run["lost"] for run in runs), "rounds": len(runs)}


def print_table(share, rate, rows, failures):
    print(f"\nlatency: 1 KiB answers, {rate:.0f} requests/s, {share} % of what the slowest did in a closed loop; ms from when due")
    print(f"  {'':16} {'p50':>7} {'p99':>7} {'p99.9':>7} {'sent late, p99':>15} {'lost':>6}")
    for name, row in rows.items():
        times = " ".join(f"{row[key]:7.2f}" for key in QUANTILES)
        print(f"  {name:16} {times} {row['late_p99_ms']:15.2f} {row['lost']:6}")
    for name, reason in failures:
        print(f"  {name:16} not measured: {reason}")
