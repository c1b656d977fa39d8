"""A Weir of its own for a script: ports the system chose, a folder that goes away, ended by its process id."""

import json
import queue
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager

PATIENCE = 30


@contextmanager
def running(binary, *flags):
    """Starts `binary` and yields the URLs of its data port and its admin port."""
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", f"{folder}/data"]
        command += ["--workers", "1", "--log-format", "json", *flags]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        lines = queue.Queue()
        # Read to the end of the process, so that it never waits for room to log.
        reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stderr], daemon=True)
        reader.start()
        try:
            yield tuple(_address(lines, name) for name in ("data plane listening", "admin listening"))
            if process.poll() is not None:
                raise SystemExit(f"weir ended by itself with {process.returncode}")
        finally:
            process.kill()
            process.wait()


def _address(lines, message):
    deadline = time.monotonic() + PATIENCE
    seen = []
    while time.monotonic() < deadline:
        try:
            seen.append(lines.get(timeout=1))
        except queue.Empty:
            continue
        if message in seen[-1]:
            return "http://" + _found(json.loads(seen[-1]))
    raise SystemExit(f"weir did not say {message!r}: {''.join(seen)}")


def _found(event):
    return event.get("address") or event["fields"]["address"]
