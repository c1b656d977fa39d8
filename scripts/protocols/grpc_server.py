"""A server of gRPC in a process of its own: `grpc_server.py NAME ADDRESS [FOLDER]`. Prints its port when it listens; over TLS
where there is a folder with `cert.pem` and `key.pem`.

What a call is to do, its metadata say: `x-sleep` (seconds), `x-abort` (a status), `x-count` (messages of a stream), `x-health` (from
now on a service, or all with no name, is what is said behind the `=`). Messages are bytes and come back as they are. Health is told
by gRPC's own service, which a server whose name begins with `bare` does not have. Everything that happens is a line on standard output. SIGTERM stops it in order: calls under
way are finished, and clients are told. Ends with its standard input.
"""

import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

NAME = sys.argv[1]
OUTPUT = threading.Lock()
HEALTH = health.HealthServicer()


def say(text):
    with OUTPUT:
        print(text, flush=True)


def asked(context):
    return {key: value for key, value in context.invocation_metadata() if key.startswith("x-")}


def begin(kind, context):
    what = asked(context)
    ended = threading.Event()
    if not context.add_callback(ended.set):
        ended.set()
    say(f"began {kind} {what.get('x-id', '')}")
    context.send_initial_metadata((("x-server", NAME), ("x-blob-bin", what.get("x-blob-bin", b"")))) \
        if "x-abort" not in what else None
    context.set_trailing_metadata((("x-trailing", NAME),))
    if "x-health" in what:
        service, status = what["x-health"].split("=")
        HEALTH.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    if "x-sleep" in what and ended.wait(float(what["x-sleep"])):
        say(f"cancelled {kind} {what.get('x-id', '')}")
    if "x-abort" in what:
        code = next(code for code in grpc.StatusCode if code.value[0] == int(what["x-abort"]))
        context.abort(code, "as asked: 50 % of ä")
    return what


def unary(request, context):
    begin("unary", context)
    return request


def server_stream(request, context):
    what = begin("server-stream", context)
    for number in range(int(what.get("x-count", "3"))):
        if not context.is_active():
            break
        yield request + b" %d" % number
        if "x-pace" in what:
            time.sleep(float(what["x-pace"]))
    if not context.is_active():
        say("cancelled server-stream")


def client_stream(requests, context):
    begin("client-stream", context)
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    begin("both", context)
    for request in requests:
        yield request


def main():
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("weir.Test", kinds),))
    if not NAME.startswith("bare"):
        health_pb2_grpc.add_HealthServicer_to_server(HEALTH, server)
    if len(sys.argv) > 3:
        key, certificate = (Path(sys.argv[3], name).read_bytes() for name in ("key.pem", "cert.pem"))
        port = server.add_secure_port(sys.argv[2], grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port(sys.argv[2])
    server.start()
    say(port)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    stop.wait()
    server.stop(grace=10).wait()
    say("stopped")


main()
