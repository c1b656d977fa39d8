"""gRPC through Weir, with gRPC's own client and servers."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import grpc
import weir

BINARY = os.environ["WEIR"]
PATIENCE = 20
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]


class Server:
    """A process of `grpc_server.py`."""

    def __init__(self, name, port=0, folder=None):
        self.name = name
        command = [sys.executable, str(Path(__file__).with_name("grpc_server.py")), name, f"127.0.0.1:{port}"]
        command += [folder] if folder else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.added = threading.Condition()
        self.port = int(self.process.stdout.readline())
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.added:
                self.lines.append(line.strip())
                self.added.notify_all()

    def wait_for(self, text):
        with self.added:
            assert self.added.wait_for(lambda: any(text in line for line in self.lines), PATIENCE), (text, self.lines)

    def count(self, text):
        with self.added:
            return sum(text in line for line in self.lines)

    def began(self):
        """The ids of the calls that it has begun to run."""
        with self.added:
            return [line.split()[-1] for line in self.lines if line.startswith("began")]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def setting(count=1, **upstream):
    """A Weir in front of this many servers. Yields a client's channel, the API's URL and the servers."""
    servers = [Server(f"s{number}") for number in range(count)]
    try:
        with weir.running(BINARY) as (data, admin):
            put(admin, [server.address for server in servers], **upstream)
            with grpc.insecure_channel(data.removeprefix("http://"), options=OPTIONS) as channel:
                yield channel, admin, servers
    finally:
        for server in servers:
            server.end()


def put(admin, addresses, **upstream):
    document = {"protocol": "http2", "servers": addresses, "health_check": {"enabled": False}, **upstream}
    call(admin, "PUT", "/v1/upstreams/default", document)


def call(admin, method, path, document=None):
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(admin + path, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def unary(channel):
    return channel.unary_unary("/weir.Test/Unary")


def all_kinds_of_calls():
    with setting() as (channel, _, _):
        blob = bytes(range(256))
        answer, made = unary(channel).with_call(b"hello", metadata=(("x-blob-bin", blob),), timeout=PATIENCE)
        assert answer == b"hello"
        assert ("x-blob-bin", blob) in made.initial_metadata(), made.initial_metadata()
        assert ("x-trailing", "s0") in made.trailing_metadata(), made.trailing_metadata()
        stream = channel.unary_stream("/weir.Test/ServerStream")
        answers = list(stream(b"n", metadata=(("x-count", "1000"),), timeout=PATIENCE))
        assert answers == [b"n %d" % number for number in range(1000)]
        total = channel.stream_unary("/weir.Test/ClientStream")(
            iter([b"x" * 1000] * 1000), timeout=PATIENCE)
        assert total == b"1000000", total
        # Each message is answered before the next is sent.
        sent = queue.Queue()
        answers = channel.stream_stream("/weir.Test/Both")(iter(sent.get, None), timeout=PATIENCE)
        for number in range(100):
            sent.put(b"%d" % number)
            assert next(answers) == b"%d" % number
        sent.put(None)
        assert list(answers) == [] and answers.code() == grpc.StatusCode.OK


def large_messages():
    with setting() as (channel, _, _):
        message = os.urandom(8 << 20)
        assert unary(channel)(message, timeout=PATIENCE) == message
        answers = channel.stream_stream("/weir.Test/Both")(iter([message] * 3), timeout=PATIENCE)
        assert [len(answer) for answer in answers] == [8 << 20] * 3


def failure(of):
    try:
        of()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call should have failed")


def errors_of_a_server():
    with setting() as (channel, _, servers):
        for number, code in ((14, grpc.StatusCode.UNAVAILABLE), (3, grpc.StatusCode.INVALID_ARGUMENT)):
            error = failure(lambda: unary(channel)(b"", metadata=(("x-abort", str(number)),), timeout=PATIENCE))
            assert (error.code(), error.details()) == (code, "as asked: 50 % of ä"), error
            assert ("x-trailing", "s0") in error.trailing_metadata()
        assert servers[0].count("began") == 2, "nothing is repeated unless told to be"


def errors_of_weirs_own():
    with setting() as (channel, admin, servers):
        servers[0].kill()
        error = failure(lambda: unary(channel)(b"", timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNAVAILABLE and "refused" in error.details(), error
        call(admin, "PUT", "/v1/upstreams/default", {"servers": []})
        error = failure(lambda: unary(channel)(b"", timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNAVAILABLE and "eligible" in error.details(), error


def deadlines():
    with setting(response_timeout="100ms") as (channel, _, servers):
        error = failure(lambda: unary(channel)(b"", metadata=(("x-sleep", "30"),), timeout=0.5))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        servers[0].wait_for("cancelled unary")
        # A deadline takes the place of the upstream's own timeout.
        unary(channel)(b"", metadata=(("x-sleep", "0.5"),), timeout=PATIENCE)


def cancelling():
    with setting() as (channel, _, servers):
        made = unary(channel).future(b"", metadata=(("x-sleep", "30"),))
        servers[0].wait_for("began unary")
        made.cancel()
        servers[0].wait_for("cancelled unary")
        stream = channel.unary_stream("/weir.Test/ServerStream")
        answers = stream(b"", metadata=(("x-count", "100000"), ("x-pace", "0.01")))
        next(answers)
        answers.cancel()
        servers[0].wait_for("cancelled server-stream")
        assert unary(channel)(b"on", timeout=PATIENCE) == b"on"


def health_checks():
    for check in ({"type": "grpc"}, {"type": "tcp"}):
        with setting(health_check=check) as (channel, admin, servers):
            assert unary(channel)(b"on", timeout=PATIENCE) == b"on"
            wait_until(lambda: state(admin) == "healthy")
            servers[0].kill()
            call(admin, "PATCH", "/v1/upstreams/default", {
                "health_check": {"interval": "100ms", "timeout": "90ms", "unhealthy_threshold": 1}})
            wait_until(lambda: state(admin) == "unhealthy")


def what_health_checks_find():
    """The server's own account of itself, by the health service that comes with gRPC."""
    check = {"type": "grpc", "grpc_service": "shop", "interval": "500ms", "timeout": "400ms",
             "unhealthy_threshold": 1, "healthy_threshold": 1}
    with setting(health_check=check) as (_, admin, servers):
        with grpc.insecure_channel(servers[0].address, options=OPTIONS) as direct:
            say = lambda what: unary(direct)(b"", metadata=(("x-health", what),), timeout=PATIENCE)
            found = lambda state_, reason=None: wait_until(lambda: verdict(admin) == (state_, reason))
            found("unhealthy", "grpc_service_unknown")
            say("shop=SERVING")
            found("healthy")
            say("shop=NOT_SERVING")
            found("unhealthy", "grpc_not_serving")
            call(admin, "PATCH", "/v1/upstreams/default", {"health_check": {"grpc_service": None}})
            found("healthy")
            say("=NOT_SERVING")
            found("unhealthy", "grpc_not_serving")
            say("=SERVING")
            found("healthy")
            servers[0].process.send_signal(signal.SIGSTOP)
            found("unhealthy", "response_timeout")
            servers[0].process.send_signal(signal.SIGCONT)
            found("healthy")
        bare = Server("bare")
        try:
            put(admin, [bare.address], health_check=check)
            found("unhealthy", "grpc_unimplemented")
        finally:
            bare.end()


def verdict(admin):
    server = call(admin, "GET", "/v1/upstreams/default/health")["servers"][0]
    return server["state"], server.get("reason")


def state(admin):
    return verdict(admin)[0]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


class Load:
    """Unary calls from some threads, each counted."""

    def __init__(self, channel, threads=8, metadata=()):
        self.stopped = threading.Event()
        self.made, self.failed, self.lock = 0, [], threading.Lock()
        self.call, self.metadata = unary(channel), metadata
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, place):
        number = 0
        while not self.stopped.is_set():
            number += 1
            try:
                self.call(b"x", metadata=(("x-id", f"<{place}-{number}>"), *self.metadata), timeout=PATIENCE)
            except grpc.RpcError as error:
                with self.lock:
                    self.failed.append((f"<{place}-{number}>", error.code(), error.details()))
            with self.lock:
                self.made += 1

    def reach(self, calls):
        goal = self.made + calls
        wait_until(lambda: self.made >= goal)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def servers_stopped_in_order():
    """A server tells its clients that it goes, and finishes what it has begun: nothing is lost, and nothing runs twice.

    Between its two GOAWAYs grpcio's server answers what crosses the first with CANCELLED, without having run it.
    """
    retries = {"attempts": 2, "on": ["connect_error", "grpc_cancelled"]}
    with setting(3, retries=retries) as (channel, admin, servers):
        began = []
        load = Load(channel, metadata=(("x-sleep", "0.01"),))
        for place in range(3):
            load.reach(100)
            servers[place].process.send_signal(signal.SIGTERM)
            servers[place].wait_for("stopped")
            servers[place].process.wait()
            began += servers[place].began()
            load.reach(100)
            servers[place] = Server(f"s{place}", servers[place].port)
        load.reach(100)
        load.stop()
        for server in servers:
            began += server.began()
        assert load.failed == [], load.failed
        assert load.made > 600 and len(began) == len(set(began)) == load.made, (load.made, len(began), len(set(began)))


def servers_killed():
    """What had been sent to a server that is killed may have run, and is not repeated. Everything else is saved."""
    with setting(3) as (channel, admin, servers):
        began = []
        load = Load(channel, metadata=(("x-sleep", "0.005"),))
        for place in range(3):
            load.reach(100)
            servers[place].kill()
            load.reach(100)
            began += servers[place].began()
            servers[place] = Server(f"s{place}", servers[place].port)
        load.reach(100)
        load.stop()
        for server in servers:
            began += server.began()
        assert len(began) == len(set(began)), "a call ran twice"
        # At most what was under way at one of three servers when it was killed.
        assert len(load.failed) <= 3 * 8, load.failed
        for _, code, details in load.failed:
            assert code == grpc.StatusCode.UNAVAILABLE and "closed the connection" in details, load.failed


def retries_by_status():
    retries = {"attempts": 2, "on": ["connect_error", "grpc_unavailable"], "budget_percent": 100}
    with setting(2, retries=retries, outlier_detection={"enabled": False}, algorithm="round_robin") as (channel, _, servers):
        error = failure(lambda: unary(channel)(b"", metadata=(("x-abort", "14"),), timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert [server.count("began") for server in servers] == [1, 1], "once on each server"
        failure(lambda: unary(channel)(b"", metadata=(("x-abort", "13"),), timeout=PATIENCE))
        assert sum(server.count("began") for server in servers) == 3, "INTERNAL was not to be repeated"


def make_certificates(folder):
    """An authority, and a certificate of it for 127.0.0.1."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    Path(folder, "san").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for arguments in (
        ["req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=tests"],
        ["req", "-new", *key[:-2], "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=server"],
        ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
         "-extfile", "san", "-out", "cert.pem"],
    ):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return {name: Path(folder, f"{name}.pem").read_text() for name in ("ca", "cert", "key")}


def over_tls():
    """From the client to the server, HTTP/2 agreed on by ALPN on both sides, and checks over it as well."""
    with tempfile.TemporaryDirectory() as folder:
        pem = make_certificates(folder)
        server = Server("s0", folder=folder)
        try:
            with weir.running(BINARY) as (_, admin):
                call(admin, "POST", "/v1/certificates", {"id": "own", "certificate": pem["cert"], "private_key": pem["key"]})
                call(admin, "POST", "/v1/certificates", {"id": "roots", "kind": "ca", "certificate": pem["ca"]})
                put(admin, [server.address], tls={"enabled": True, "ca": "roots"}, health_check={"type": "grpc"})
                call(admin, "PUT", "/v1/listeners/edge", {
                    "address": "127.0.0.1:0", "protocol": "https", "tls": {"certificates": ["own"]}})
                edge = lambda: call(admin, "GET", "/v1/listeners/edge")["status"].get("address")
                wait_until(edge)
                wait_until(lambda: state(admin) == "healthy")
                trust = grpc.ssl_channel_credentials(pem["ca"].encode())
                with grpc.secure_channel(edge(), trust, options=OPTIONS) as channel:
                    message = os.urandom(1 << 20)
                    assert unary(channel)(message, timeout=PATIENCE) == message
                    answers = channel.stream_stream("/weir.Test/Both")(iter([message] * 3), timeout=PATIENCE)
                    assert list(answers) == [message] * 3
        finally:
            server.end()


def failing_servers_are_ejected():
    detection = {"consecutive_5xx": 5}
    with setting(2, outlier_detection=detection) as (channel, admin, servers):
        for _ in range(40):
            failure(lambda: unary(channel)(b"", metadata=(("x-abort", "14"),), timeout=PATIENCE))
        health = call(admin, "GET", "/v1/upstreams/default/health")
        assert any(server.get("reason") == "ejected" for server in health["servers"]), health


def main():
    names = sys.argv[1:]
    for test in (
        all_kinds_of_calls, large_messages, errors_of_a_server, errors_of_weirs_own, deadlines, cancelling, health_checks,
        what_health_checks_find, servers_stopped_in_order, servers_killed, retries_by_status, failing_servers_are_ejected, over_tls,
    ):
        if names and test.__name__ not in names:
            continue
        began = time.monotonic()
        test()
        print(f"ok {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)


main()
