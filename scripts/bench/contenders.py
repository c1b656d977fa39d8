"""The proxies that scripts/bench/balancing compares, each with the algorithms it has. Settings are in configs/balancing/."""

import json
import re
from dataclasses import dataclass, field

import prepare
from processes import accepts, expect_free, wait_for
from proxies import CONFIGS, Weir, _version, call


@dataclass
class Contender:
    """One proxy with one algorithm."""

    proxy: str
    algorithm: str
    # Words for the places in the configuration.
    words: dict = field(default_factory=dict)
    # The same where servers fail: the proxy's own means against that, turned on.
    tuned: dict = field(default_factory=dict)
    is_default: bool = False

    @property
    def name(self):
        return f"{self.proxy} {self.algorithm}" + (" (default)" if self.is_default else "")


# name -> (files, the first of which the command reads; command line; version argument; how one server is written)
PEERS = {
    "nginx": (["nginx.conf"], ["-c", "@FILE@"], "-v", "        server 127.0.0.1:{port}{per_server};"),
    "haproxy": (["haproxy.cfg"], ["-db", "-f", "@FILE@"], "-v", "    server s{port} 127.0.0.1:{port}{per_server}"),
    "envoy": (
        ["envoy.yaml"],
        ["-c", "@FILE@", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"],
        "--version",
        "              - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}",
    ),
    "caddy": (["Caddyfile"], ["run", "--config", "@FILE@", "--adapter", "caddyfile"], "version", "127.0.0.1:{port} "),
    "traefik": (
        ["traefik.yaml", "traefik-routes.yaml"],
        ["--configFile=@FILE@"],
        "version",
        "          - url: http://127.0.0.1:{port}",
    ),
}

NGINX_TUNED = {"RETRIES": "proxy_next_upstream error timeout http_500 http_502 http_503;"}
NGINX_TUNED["PER_SERVER"] = " max_fails=5 fail_timeout=30s"
HAPROXY_TUNED = {
    "RETRIES": "retry-on all-retryable-errors\n    retries 2\n    option redispatch 1",
    "PER_SERVER": " check inter 5s observe layer7 error-limit 5 on-error mark-down",
}
ENVOY_TUNED = {
    "RETRIES": "retry_policy: { retry_on: 5xx, num_retries: 2, "
    "retry_host_predicate: [{ name: envoy.retry_host_predicates.previous_hosts, typed_config: { "
    '"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate } }], '
    "host_selection_retry_max_attempts: 3 }",
    "EJECTION": "outlier_detection: { consecutive_5xx: 5, interval: 1s, base_ejection_time: 30s, max_ejection_percent: 50 }",
}
CADDY_TUNED = {"RETRIES": "fail_duration 30s\n\t\tmax_fails 5\n\t\tunhealthy_status 5xx\n\t\tlb_retries 2"}
TRAEFIK_TUNED = {
    "RETRIES": 'status: ["500", "502", "503"]',
    "MIDDLEWARES": "again",
    "EJECTION": "passiveHealthCheck: { failureWindow: 30s, maxFailedAttempts: 5 }",
}

ALL = [
    Contender("nginx", "round robin", {"ALGORITHM": ""}, NGINX_TUNED, is_default=True),
    Contender("nginx", "least_conn", {"ALGORITHM": "least_conn;"}, NGINX_TUNED),
    Contender("nginx", "least_time", {"ALGORITHM": "least_time header inflight;"}, NGINX_TUNED),
    Contender("haproxy", "random(2)", {"ALGORITHM": "random(2)"}, HAPROXY_TUNED, is_default=True),
    Contender("haproxy", "leastconn", {"ALGORITHM": "leastconn"}, HAPROXY_TUNED),
    Contender("envoy", "ROUND_ROBIN", {"ALGORITHM": "ROUND_ROBIN"}, ENVOY_TUNED, is_default=True),
    Contender("envoy", "LEAST_REQUEST", {"ALGORITHM": "LEAST_REQUEST"}, ENVOY_TUNED),
    Contender("caddy", "random", {"ALGORITHM": "random"}, CADDY_TUNED, is_default=True),
    Contender("caddy", "least_conn", {"ALGORITHM": "least_conn"}, CADDY_TUNED),
    Contender("traefik", "wrr", {"ALGORITHM": "wrr"}, TRAEFIK_TUNED, is_default=True),
    Contender("traefik", "leasttime", {"ALGORITHM": "leasttime"}, TRAEFIK_TUNED),
    Contender("weir", "as it comes", is_default=True),
    Contender("weir", "round_robin", {"algorithm": "round_robin"}),
    Contender("weir", "least_request", {"algorithm": "least_request"}),
    Contender("weir", "least_time", {"algorithm": "least_time"}),
    Contender("weir", "peak_ewma", {"algorithm": "peak_ewma"}),
    Contender("weir", "prequal", {"algorithm": "prequal"}),
    Contender("weir", "least_time + hedging", {"algorithm": "least_time", "hedging": {"enabled": True}}),
]


def chosen(wanted):
    """Those whose proxy, or whole name, is among `wanted`, of proxies that are installed."""
    found = []
    for contender in ALL:
        if contender.proxy not in wanted and contender.name not in wanted:
            continue
        if contender.proxy != "weir" and not prepare.find(contender.proxy):
            print(f"{contender.name}: left out, there is no {contender.proxy} on the PATH")
        elif contender.algorithm == "least_time" and contender.proxy == "nginx" and not _has_least_time():
            print("nginx least_time: left out, it came with NGINX 1.31")
        else:
            found.append(contender)
    return found


def _has_least_time():
    numbers = [int(number) for number in re.findall(r"\d+", version("nginx"))[:2]]
    return numbers >= [1, 31]


def version(proxy):
    return _version([prepare.find(proxy), PEERS[proxy][2]])


def start(contender, scenario, processes, setup, weir):
    """Starts the proxy in front of the servers; answers the process and a connection to its API, if it has one."""
    if contender.proxy == "weir":
        process, api = Weir(weir).launch(processes, setup)
        upstream = {"id": "bench", "servers": [f"127.0.0.1:{port}" for port in setup.servers], **contender.words}
        call(api, "POST", "/v1/upstreams", json.dumps(upstream))
        wait_for(process, lambda: accepts(setup.port))
        return process
    files, arguments, _, server = PEERS[contender.proxy]
    expect_free(setup.port)
    words = {"RETRIES": "", "EJECTION": "", "PER_SERVER": "", "MIDDLEWARES": "", **contender.words}
    if contender.proxy == "nginx":
        # Its default takes a server that failed once out for 10 s; that is tuned only where servers fail.
        words["RETRIES"] = "proxy_next_upstream error timeout;"
    if contender.proxy == "traefik":
        words["RETRIES"] = "initialInterval: 0s"
    words |= contender.tuned if scenario.fails else {}
    words |= {"PORT": setup.port, "DIR": setup.directory, "FILES": setup.descriptors}
    words["CONNECTIONS"] = min(16384, setup.descriptors // 2 - 200)
    join = "" if contender.proxy == "caddy" else "\n"
    lines = [server.format(port=port, per_server=words["PER_SERVER"]) for port in setup.servers]
    words["SERVERS"] = join.join(lines)
    for name in files:
        text = (CONFIGS / "balancing" / name).read_text()
        (setup.directory / name).write_text(re.sub(r"@([A-Z_]+)@", lambda word: str(words[word.group(1)]), text))
    file = str(setup.directory / files[0])
    command = [prepare.find(contender.proxy), *(argument.replace("@FILE@", file) for argument in arguments)]
    process = processes.start(contender.proxy, command, setup.core)
    wait_for(process, lambda: accepts(setup.port))
    return process
