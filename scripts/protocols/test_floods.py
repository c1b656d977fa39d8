"""The best known floods of HTTP/2, in frames of hyperframe and h2: each ends in a closed connection, within the bounds that
proxy/README.md states, and no bystander notices; without TLS and over it. The rarer ones are in tests/data_plane/http2."""

import socket
import tempfile
import time
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hpack import Encoder
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
                              RstStreamFrame, SettingsFrame)

from scene import Bystanders, balanced, call, eventually, metric, origin, run
from secured import connected, context, listening

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FIELDS = [(":method", "POST"), (":scheme", "http"), (":authority", "weir.test"), (":path", "/attack")]
ENHANCE_YOUR_CALM = 0xB
# What no flood takes longer than, from its first frame to the closed connection.
SECONDS = 5


class Attacker:
    """A connection on which anything can be said."""

    def __init__(self, wire):
        self.socket = wire
        self.encoder = Encoder()
        self.sent = 0
        self.socket.sendall(PREFACE + SettingsFrame(0).serialize())

    def head(self, stream, *flags, fields=FIELDS):
        return HeadersFrame(stream, self.encoder.encode(fields), flags=flags)

    def say(self, *frames):
        """Whether it could still be said."""
        try:
            self.socket.sendall(b"".join(frame.serialize() for frame in frames))
            self.sent += len(frames)
            return True
        except OSError:
            return False

    def farewell(self):
        """Reads until the connection is closed. The error code of GOAWAY, if one arrived."""
        code, held = None, b""
        try:
            while piece := self.socket.recv(65536):
                held += piece
                while len(held) >= 9:
                    frame, length = Frame.parse_frame_header(memoryview(held[:9]))
                    if len(held) < 9 + length:
                        break
                    frame.parse_body(memoryview(held[9:9 + length]))
                    held = held[9 + length:]
                    if isinstance(frame, GoAwayFrame):
                        code = frame.error_code
        except TimeoutError:
            raise SystemExit(f"the connection is still open after {SECONDS} s") from None
        except OSError:
            pass  # closed with bytes unread, which the kernel tells as a reset
        return code


@contextmanager
def scene(*flags, listener={}, **upstream):
    """Yields the ways in, each of which makes a connection with the timeout it is given; the API, and the server."""
    with origin() as server, tempfile.TemporaryDirectory() as folder:
        with balanced(server.address, *flags, **upstream) as (data, admin), Bystanders(data):
            port, authority = listening(admin, folder, **listener)
            client = context(authority, "h2")
            plain = lambda timeout: socket.create_connection(data, timeout=timeout)
            yield (plain, lambda timeout: connected(port, client, timeout)), admin, server


def flood(frames, most, served=0):
    """Says `frames(attacker, number)` for ever: the connection is closed before `most` are said, in time."""
    with scene() as (ways_in, admin, server):
        for number, connect in enumerate(ways_in, 1):
            server.seen.clear()
            attacker = Attacker(connect(SECONDS))
            began = time.monotonic()
            said = 0
            while time.monotonic() - began < SECONDS and attacker.say(*frames(attacker, said)):
                said += 1
                if said % 50 == 0:
                    time.sleep(0.002)  # what is on its way when the end is decided is not counted against it
            code = attacker.farewell()
            took = time.monotonic() - began
            assert took < SECONDS, f"{took:.1f} s, {attacker.sent} frames"
            assert code in (None, ENHANCE_YOUR_CALM), code
            assert attacker.sent <= most, f"{attacker.sent} frames were taken"
            eventually("the flood is counted", lambda: metric(admin, "weir_floods_total") == number)
            attacks = sum(path == "/attack" for _, path in server.seen)
            assert attacks <= served, f"{attacks} requests reached the server"


def rapid_reset():
    """CVE-2023-44487: requests taken back at once."""
    def frames(attacker, number):
        stream = 2 * number + 1
        return attacker.head(stream, "END_HEADERS", "END_STREAM"), RstStreamFrame(stream, 8)
    flood(frames, most=4000, served=1000)


def continuation():
    """CVE-2024-24786 and its kin: a block of fields that never ends."""
    def frames(attacker, number):
        if number == 0:
            return [attacker.head(1)]
        return [ContinuationFrame(1, attacker.encoder.encode([(f"x-{number}", "y")]))]
    flood(frames, most=1000)


def ping():
    flood(lambda _, number: [PingFrame(0, number.to_bytes(8, "big"))], most=8000)


def settings():
    flood(lambda _, number: [SettingsFrame(0, {4: 65535 + number})], most=2000)


def empty_data():
    def frames(attacker, number):
        return [attacker.head(1, "END_HEADERS")] if number == 0 else [DataFrame(1, b"")]
    flood(frames, most=4000)


def window_stall():
    """A client that asks for much and takes nothing: given up with its upstream's `stream_idle_timeout`, then closed for
    having nothing under way; and what it held of the server's is free again."""
    flags = ("--idle-timeout", "1s", "--header-timeout", "1s")
    listener = {"idle_timeout": "1s", "header_timeout": "1s"}
    with scene(*flags, listener=listener, stream_idle_timeout="1s") as (ways_in, admin, _):
        for connect in ways_in:
            stall(connect(10))
            in_flight = lambda: call(admin, "GET", "/v1/health")["upstreams"][0]["in_flight"]
            eventually("nothing is in flight for it", lambda: in_flight() < 10)


def stall(attacker):
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.local_settings = h2.settings.Settings(initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.initiate_connection()
    for number in range(100):
        fields = [*FIELDS[1:3], (":method", "GET"), (":path", "/bytes/1000000")]
        client.send_headers(2 * number + 1, fields, end_stream=True)
    began = time.monotonic()
    attacker.sendall(client.data_to_send())
    resets, over = 0, False
    while piece := attacker.recv(65536):
        try:
            for event in [] if over else client.receive_data(piece):
                resets += isinstance(event, h2.events.StreamReset)
        except h2.exceptions.ProtocolError:
            over = True  # it takes nothing in after a GOAWAY; the connection is still to be closed
    took = time.monotonic() - began
    assert resets == 100, resets
    assert took < 8, took


run(rapid_reset, continuation, ping, settings, empty_data, window_stall)
