"""Well-known clients through Weir: `curl` over HTTP/1.1 and HTTP/2, and a load of `h2load`."""

import re
import subprocess
import tempfile
from pathlib import Path

from scene import balanced, metric, origin, run

PROTOCOLS = {"--http1.1": "1.1", "--http2-prior-knowledge": "2"}


def curl(*arguments):
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def curl_methods_and_bodies():
    with origin() as server, balanced(server.address) as ((host, port), _), tempfile.TemporaryDirectory() as folder:
        url = f"http://{host}:{port}"
        large = Path(folder, "large")
        large.write_bytes(bytes(range(256)) * 20000)
        for flag, version in PROTOCOLS.items():
            told = curl(flag, "--write-out", "%{http_version} %{http_code}", f"{url}/a?b=c")
            assert told == f"GET /a?b=c\n{version} 200".encode(), told
            assert curl(flag, "--data", "hello", url) == b"hello"
            # Of unknown length, and long enough for curl to wait for a 100.
            assert curl(flag, "--upload-file", "-", url, "--header", "Transfer-Encoding: chunked") == b"PUT /\n" \
                if version == "1.1" else True
            assert curl(flag, "--data-binary", f"@{large}", url) == large.read_bytes()
            assert len(curl(flag, f"{url}/bytes/3000000")) == 3000000
            head = curl(flag, "--head", url).decode()
            assert re.match(rf"HTTP/{version} 200", head), head


def curl_reuses_connections():
    """Over HTTP/1.1; with prior knowledge of HTTP/2 the curl of Debian 12 gives up a connection by itself, and h2load is there."""
    with origin() as server, balanced(server.address) as ((host, port), admin):
        urls = [f"http://{host}:{port}/{number}" for number in range(20)]
        assert curl("--http1.1", *urls).decode().split() == [word for n in range(20) for word in ("GET", f"/{n}")]
        assert metric(admin, "weir_connections_accepted_total") == 1


def curl_upgrade_to_http2():
    """An offer of h2c is not taken up: the answer comes over HTTP/1.1, and no server hears of it."""
    with origin() as server, balanced(server.address) as ((host, port), admin):
        told = curl("--http2", "--write-out", "%{http_version}", f"http://{host}:{port}/x")
        assert told == b"GET /x\n1.1", told
        assert metric(admin, "weir_tunnels_total") == 0


def h2load():
    """Thousands of requests over a few connections, with many streams: all of them answered."""
    with origin() as server, balanced(server.address) as ((host, port), admin):
        url = f"http://{host}:{port}/load"
        for flags in (["--h1"], ["-m", "32"], ["-m", "100", "-w", "16", "-W", "16"]):
            command = ["h2load", "-n", "2000", "-c", "8", *flags, url]
            report = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120, text=True).stdout
            counts = re.search(r"requests: (\d+) total.*?(\d+) succeeded, (\d+) failed, (\d+) errored", report)
            assert counts and counts.groups() == ("2000", "2000", "0", "0"), report
        assert metric(admin, "weir_floods_total") == 0


run(curl_methods_and_bodies, curl_reuses_connections, curl_upgrade_to_http2, h2load)
