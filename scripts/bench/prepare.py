"""Gets what a run needs: peers and wrk from Debian or Ubuntu packages, Weir and the origin from this source tree."""

import os
import pathlib
import resource
import shutil
import subprocess

from processes import BenchError

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Where Debian and Ubuntu put the part of NGINX that relays bytes.
STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

# command -> package
PACKAGES = {"taskset": "util-linux", "setpriv": "util-linux", "wrk": "wrk", "h2load": "nghttp2-client", "curl": "curl",
            "nginx": "nginx", "haproxy": "haproxy", "openssl": "openssl"}


def packages(commands):
    """Installs the packages of those `commands` that are missing."""
    install(sorted({PACKAGES[command] for command in commands if not find(command)}))


def nginx_streams():
    """Debian and Ubuntu have what relays bytes in a package of its own; NGINX's own packages have it built in."""
    built = subprocess.run([find("nginx"), "-V"], capture_output=True, text=True).stderr
    if "--with-stream=dynamic" in built and not STREAM_MODULE.exists():
        install(["libnginx-mod-stream"])


def certificate(directory):
    """A certificate that nobody has signed, and its key: site.pem, site.key, and both in site.both.pem."""
    chain, key = (pathlib.Path(directory) / name for name in ("site.pem", "site.key"))
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "90"]
    command += ["-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,IP:127.0.0.1"]
    done = subprocess.run([*command, "-keyout", key, "-out", chain], capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"openssl made no certificate: {done.stderr.strip()[-300:]}")
    (pathlib.Path(directory) / "site.both.pem").write_text(chain.read_text() + key.read_text())


def install(missing):
    """Installs these packages."""
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise BenchError(f"missing: {' '.join(missing)}. Install them and run this again.")
    root = [] if os.geteuid() == 0 else ["sudo"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"installing {' '.join(missing)}", flush=True)
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run([*root, "apt-get", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"apt-get install {' '.join(missing)} failed: {done.stderr.strip()[-300:]}")


def find(command):
    """Where a command is; Debian keeps servers in sbin, which is not on every user's PATH."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def build(package, binary):
    """Builds one release binary of this workspace and returns its path."""
    print(f"building {binary}", flush=True)
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", package, "--bin", binary]
    try:
        done = subprocess.run(command, cwd=ROOT)
    except FileNotFoundError:
        raise BenchError("cargo is missing: install a Rust toolchain") from None
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed")
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / binary


def raise_descriptor_limit():
    """Thousands of connections need as many descriptors; children inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
