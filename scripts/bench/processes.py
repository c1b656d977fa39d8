"""Starts processes pinned to a core and ends them, by process id, whatever happens to the benchmark."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

# A healthy process is up long before this; the largest configuration (10 000 servers) included.
START_SECONDS = 20
STOP_SECONDS = 3


class BenchError(Exception):
    """Something the reader has to know and can act on; the message is one line."""


class Processes:
    """Every process the benchmark started. Leaving the `with` block ends them, newest first."""

    def __init__(self, log_dir):
        self.log_dir = pathlib.Path(log_dir)
        self.running = []

    def __enter__(self):
        # Ctrl-C already raises KeyboardInterrupt; let the other polite signals end the block in the same way.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self.running[:]):
            self.stop(process)

    def start(self, name, command, core):
        """Runs `command` on `core`; its output goes to NAME.log. The kernel ends it should the benchmark vanish."""
        pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *map(str, command)]
        log = self.log_dir / f"{name}.log"
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches the benchmark alone, which then ends the rest in order.
            process = subprocess.Popen(
                pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        process.name, process.log = name, log
        self.running.append(process)
        return process

    def stop(self, process):
        if process in self.running:
            self.running.remove(process)
        if process.poll() is not None:
            return
        children = tree(process.pid)[1:]
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            for pid in children:  # a killed parent can no longer end its workers
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _interrupt(number, _frame):
    raise SystemExit(128 + number)


def tree(pid):
    """`pid` and all its descendants."""
    pids = [pid]
    for parent in pids:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids.extend(map(int, task.read_text().split()))
    return pids


def wait_for(process, ready):
    """Returns once `ready()` is true; raises with the end of the process's log if it exits or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"{process.name} ended at once: {_tail(process.log)}")
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.02)
    raise BenchError(f"{process.name} was not ready after {START_SECONDS} s: {_tail(process.log)}")


def expect_free(*ports):
    """Raises if a port is taken: a run must not measure somebody else's server."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise BenchError(f"port {port}: {error.strerror}; --port-base chooses others") from None


def accepts(port):
    """Whether something accepts connections on the loopback port."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def epitaph(process):
    """How a process ended that should be running, or nothing."""
    if process.poll() is None:
        return ""
    return f"; {process.name} has ended with status {process.returncode}: {_tail(process.log)}"


def _tail(log):
    lines = log.read_text(errors="replace").split("\n")
    return " | ".join(line for line in lines[-6:] if line) or "no output"
