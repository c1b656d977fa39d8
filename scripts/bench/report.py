"""Turns samples into tables, and into JSON for other tools.

Figures are medians over the rounds. A ratio is the median of the ratios within each round, so that a machine that
gets slower or faster between rounds does not move it. `±` is half the distance between the extremes of CPU per
request, in percent of the median. `own` is the part of the CPU time spent in the proxy's code and not in the kernel.
"""

import os
import pathlib
import platform
import statistics

REFERENCE = "nginx"


def machine():
    """What a reader needs to know of the machine."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def summarise(samples, reference=None):
    """One row of medians; `reference` holds another proxy's samples of the same rounds (None where one failed)."""
    done = [sample for sample in samples if sample]
    costs = [sample.cpu_us for sample in done]
    pairs = [(ours, theirs) for ours, theirs in zip(samples, reference or []) if ours and theirs]
    ratios = [ours.cpu_us / theirs.cpu_us for ours, theirs in pairs]
    cost = statistics.median(costs)
    return {
        "cpu_us": cost,
        "user_us": statistics.median(sample.user_us for sample in done),
        "ratio": statistics.median(ratios) if ratios else None,
        "spread_percent": (max(costs) - min(costs)) / 2 / cost * 100,
        "per_second": statistics.median(sample.per_second for sample in done),
        "p50_ms": statistics.median(sample.p50_us for sample in done) / 1000,
        "p99_ms": statistics.median(sample.p99_us for sample in done) / 1000,
        "core_percent": statistics.median(sample.core_percent for sample in done),
        "disturbed_percent": statistics.median(sample.disturbed_percent for sample in done),
        "rss_mib": statistics.median(sample.rss_kib for sample in done) / 1024,
        "errors": sum(sample.errors for sample in done),
        "rounds": len(done),
    }


def print_workload(title, rows, failures, reference=REFERENCE):
    """A table of `rows` (name -> summary) and a line for each failure."""
    print(f"\n{title}")
    print(
        f"  {'':16} {'CPU µs/req':>10} {'own':>5} {'× ' + reference:>8} {'±':>5} {'req/s':>8} {'p50 ms':>7} {'p99 ms':>7}"
        f" {'core':>5} {'other':>5} {'RSS MiB':>8} {'errors':>7}"
    )
    for name, row in rows.items():
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
        errors = f"{row['errors']} !" if row["errors"] else "0"
        print(
            f"  {name:16} {row['cpu_us']:10.1f} {row['user_us']:5.1f} {ratio:>8} {row['spread_percent']:4.0f}% {row['per_second']:8.0f}"
            f" {row['p50_ms']:7.2f} {row['p99_ms']:7.2f} {row['core_percent']:4.0f}% {row['disturbed_percent']:4.0f}%"
            f" {row['rss_mib']:8.1f} {errors:>7}"
        )
    for name, reason in failures:
        print(f"  {name:16} not measured: {reason}")


def print_idle(state, samples, failures):
    connections = next((sample.connections for sample in samples.values()), 0)
    then = {"idle": "then silence", "half-sent": "then half of another, then silence"}[state]
    print(f"\n{state}: {connections} keep-alive connections, one request each, {then}")
    print(f"  {'':16} {'KiB each':>10} {'RSS before':>12} {'RSS after':>12}")
    for name, sample in samples.items():
        before, after = f"{sample.before_kib / 1024:.1f} MiB", f"{sample.after_kib / 1024:.1f} MiB"
        print(f"  {name:16} {sample.kib_each:10.1f} {before:>12} {after:>12}")
    for name, reason in failures:
        print(f"  {name:16} not measured: {reason}")


def print_changes(samples):
    print("\n  time from an API write to its answer (the change is in force), ms: median (worst)")
    for name, sample in samples.items():
        kinds = "   ".join(f"{kind} {median:.1f} ({worst:.1f})" for kind, median, worst in sample.medians())
        print(f"  {name:16} POST all {sample.create_ms:.0f}   {kinds}")
