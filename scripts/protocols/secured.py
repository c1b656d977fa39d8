"""An https listener for the tests here, and clients that believe its certificate."""

import socket
import ssl
import subprocess
from pathlib import Path

from scene import call, eventually

NAME = "weir.test"


def certificate(folder):
    """A certificate for NAME, signed by an authority, its key, and the file of the authority: as one would buy it."""
    path = lambda name: str(Path(folder, name))
    new = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "90"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*new, "-subj", "/CN=authority", "-keyout", path("ca.key"), "-out", path("ca.pem")], **quiet)
    leaf = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-CA", path("ca.pem"), "-CAkey", path("ca.key")]
    subprocess.run([*new, *leaf, "-keyout", path("own.key"), "-out", path("own.pem")], **quiet)
    return [Path(folder, name).read_text() for name in ("own.pem", "own.key")] + [path("ca.pem")]


def listening(admin, folder, **fields):
    """Opens an https listener with these fields. Answers its port, and the file of the authority."""
    chain, key, authority = certificate(folder)
    call(admin, "POST", "/v1/certificates", {"id": "site", "certificate": chain, "private_key": key})
    document = {"address": "127.0.0.1:0", "protocol": "https", "tls": {"certificates": ["site"]}, **fields}
    call(admin, "PUT", "/v1/listeners/edge", document)
    shown = lambda: call(admin, "GET", "/v1/listeners/edge")["status"]["address"]
    return int(eventually("the listener is bound", shown).rsplit(":", 1)[1]), authority


def context(authority, *protocols):
    """Settings of a client that believes the authority of this file and offers these protocols."""
    settings = ssl.create_default_context(cafile=authority)
    if protocols:
        settings.set_alpn_protocols(protocols)
    return settings


def connected(port, settings, timeout):
    """A secured connection."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    return settings.wrap_socket(raw, server_hostname=NAME)
