"""Gets what a run needs: peers and wrk from Debian or Ubuntu packages, Weir and the origin from this source tree."""

import os
import pathlib
import resource
import shutil
import subprocess

from processes import BenchError

ROOT = pathlib.Path(__file__).resolve().parents[2]

# command -> package
PACKAGES = {"taskset": "util-linux", "setpriv": "util-linux", "wrk": "wrk", "h2load": "nghttp2-client", "curl": "curl",
            "nginx": "nginx", "haproxy": "haproxy"}


def packages(commands):
    """Installs the packages of those `commands` that are missing."""
    missing = sorted({PACKAGES[command] for command in commands if not find(command)})
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
