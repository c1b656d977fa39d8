"""WebSockets through Weir, with client and server of the `websockets` package; and over HTTP/2, with frames of `h2`. Each
without TLS and over it, but for the thousand."""

import asyncio
import socket
import tempfile
from functools import partial

import h2.config
import h2.connection
import h2.events
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol

from scene import balanced, eventually, metric, run
from secured import NAME, connected, context, listening

MANY = 1000


async def echo(connection):
    try:
        async for message in connection:
            if message == "close":
                await connection.close(4321, "as asked")
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass  # with a code of the client's own


def scene(test, *flags, **upstream):
    """Runs `test(way_in, admin)` for each way into a Weir with a server behind it that repeats messages."""
    async def main():
        async with serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:
            port = server.sockets[0].getsockname()[1]
            with balanced(f"127.0.0.1:{port}", *flags, **upstream) as (data, admin), tempfile.TemporaryDirectory() as folder:
                for way_in in (Plain(data), Secured(*await asyncio.to_thread(listening, admin, folder))):
                    await asyncio.wait_for(test(way_in, admin), 120)
    asyncio.run(main())


class Plain:
    """Without TLS. `join` opens a WebSocket, `wire` a connection for HTTP/2."""
    def __init__(self, data):
        self.scheme, self.authority = "http", "%s:%d" % data
        self.join = partial(connect, f"ws://{self.authority}/room", subprotocols=["chat"])
        self.wire = partial(socket.create_connection, data, timeout=30)


class Secured:
    """The same over TLS."""
    def __init__(self, port, authority):
        self.scheme, self.authority = "https", f"{NAME}:{port}"
        self.join = partial(connect, f"wss://{self.authority}/room", subprotocols=["chat"], host="127.0.0.1", port=port,
                            ssl=context(authority))
        self.wire = partial(connected, port, context(authority, "h2"), 30)


def messages():
    """Text and bytes, small and of a megabyte, compressed as both sides like it; one after the other and many at once."""
    async def test(way_in, admin):
        async with way_in.join(max_size=None) as client:
            assert client.subprotocol == "chat"
            for message in ["", "hello", "ä" * 1000, b"\0\xff", b"x" * 125, b"x" * 126, b"x" * 65536, "y" * (1 << 20)]:
                await client.send(message)
                assert await client.recv() == message
            large = bytes(range(256)) * 4096
            assert len(large) == 1 << 20
            async def say():
                for _ in range(20):
                    await client.send(large)
            speaking = asyncio.create_task(say())
            for _ in range(20):
                assert await client.recv() == large
            await speaking
            await asyncio.wait_for(await client.ping(), 10)
    scene(test)


def closing():
    """Codes and reasons of either side arrive."""
    async def test(way_in, admin):
        async with way_in.join() as client:
            await client.send("close")
            try:
                await client.recv()
                raise SystemExit("the server's close did not arrive")
            except ConnectionClosed as closed:
                assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "as asked"), closed
        client = await way_in.join()
        await client.close(4000, "enough")
        assert client.close_code == 4000
        await asyncio.to_thread(eventually, "no tunnel is open", lambda: metric(admin, "weir_tunnels_active") == 0)
    scene(test)


def many_idle():
    """A thousand that say nothing for longer than any timeout of HTTP; then each still works."""
    async def test(way_in, admin):
        if way_in.scheme == "https":
            return
        gate = asyncio.Semaphore(50)
        async def join():
            async with gate:
                return await way_in.join(ping_interval=None, open_timeout=60)
        clients = await asyncio.gather(*(join() for _ in range(MANY)))
        assert metric(admin, "weir_tunnels_active") == MANY
        await asyncio.sleep(3)
        async def speak(number, client):
            await client.send(str(number))
            assert await client.recv() == str(number)
        await asyncio.gather(*(speak(number, client) for number, client in enumerate(clients)))
        assert metric(admin, "weir_tunnels_total") == MANY
        await asyncio.gather(*(client.close() for client in clients))
        await asyncio.to_thread(eventually, "no tunnel is open", lambda: metric(admin, "weir_tunnels_active") == 0)
    scene(test, "--idle-timeout", "1s", "--header-timeout", "10s", stream_idle_timeout="1s")


def refused():
    """Where WebSockets are not allowed, the server sees an ordinary request, and the client its answer."""
    async def test(way_in, admin):
        try:
            await way_in.join()
            raise SystemExit("it was opened")
        except Exception as error:
            assert "HTTP 426" in str(error), error
    scene(test, upgrades=[])


def over_http2():
    """RFC 8441: the frames of a WebSocket in the DATA of a stream."""
    async def test(way_in, admin):
        await asyncio.to_thread(speak_http2, way_in)
    scene(test)


def speak_http2(way_in):
    wire = way_in.wire()
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    wire.sendall(connection.data_to_send())
    websocket = Protocol(CLIENT, max_size=None)

    arrived = []

    def receive(wanted):
        while True:
            while arrived:
                event = arrived.pop(0)
                if isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    wire.sendall(connection.data_to_send())
                if isinstance(event, wanted):
                    return event
            arrived.extend(connection.receive_data(wire.recv(65536)))
            wire.sendall(connection.data_to_send())

    receive(h2.events.RemoteSettingsChanged)
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", way_in.scheme), (":authority", way_in.authority),
              (":path", "/room"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")]
    connection.send_headers(1, fields)
    wire.sendall(connection.data_to_send())
    answer = dict(receive(h2.events.ResponseReceived).headers)
    assert answer[":status"] == "200", answer
    assert "sec-websocket-accept" not in answer and "upgrade" not in answer, answer
    for message in (b"hello", b"x" * 40000):
        websocket.send_binary(message)
        for piece in websocket.data_to_send():
            # As much as the window takes at once.
            for start in range(0, len(piece), 16384):
                connection.send_data(1, piece[start:start + 16384])
        wire.sendall(connection.data_to_send())
        received = []
        while not received:
            websocket.receive_data(receive(h2.events.DataReceived).data)
            received = websocket.events_received()
        assert (received[0].opcode, received[0].data) == (Opcode.BINARY, message)
    websocket.send_close(1000)
    for piece in websocket.data_to_send():
        connection.send_data(1, piece, end_stream=True)
    wire.sendall(connection.data_to_send())
    receive(h2.events.StreamEnded)


run(messages, closing, many_idle, refused, over_http2)
