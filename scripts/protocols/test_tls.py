"""Scanners of TLS against the default configuration: `sslyze` and `testssl.sh` have nothing to find fault with."""

import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from scene import balanced, call, eventually, origin, run

NAME = "weir.test"

# What is no matter of the balancer: who signed the certificate (this test), how long it lasts, what DNS says of its name,
# and what headers an application sends.
NOT_OURS = (
    "cert", "DNS_", "HSTS", "HPKP", "banner", "cookie", "security_headers", "HTTP_", "overall_grade", "grade_cap",
    "scanTime", "service", "pre_128cipher", "OCSP", "ip", "engine_problem", "BREACH", "LUCKY13",
    "final_score", "protocol_support_score", "key_exchange_score", "cipher_strength_score", "clientsimulation",
)


def certificate(folder):
    """A certificate for NAME, signed by an authority, and its key: as one would buy it."""
    path = lambda name: str(Path(folder, name))
    new = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "90"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*new, "-subj", "/CN=authority", "-keyout", path("ca.key"), "-out", path("ca.pem")], **quiet)
    leaf = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-CA", path("ca.pem"), "-CAkey", path("ca.key")]
    subprocess.run([*new, *leaf, "-keyout", path("own.key"), "-out", path("own.pem")], **quiet)
    return [Path(folder, name).read_text() for name in ("own.pem", "own.key")] + [path("ca.pem")]


def listening(admin, folder, **tls):
    """Opens an https listener. Answers its port, and the file of the authority."""
    chain, key, authority = certificate(folder)
    call(admin, "POST", "/v1/certificates", {"id": "site", "certificate": chain, "private_key": key})
    document = {"address": "127.0.0.1:0", "protocol": "https", "tls": {"certificates": ["site"], **tls}}
    call(admin, "PUT", "/v1/listeners/edge", document)
    shown = lambda: call(admin, "GET", "/v1/listeners/edge")["status"]["address"]
    return int(eventually("the listener is bound", shown).rsplit(":", 1)[1]), authority


def curl_over_tls():
    with origin() as server, balanced(server.address) as (_, admin), tempfile.TemporaryDirectory() as folder:
        port, authority = listening(admin, folder)
        for flag, version in {"--http1.1": "1.1", "--http2": "2"}.items():
            for tls in ("--tls-max", "1.2"), ("--tlsv1.3",):
                command = ["curl", "--silent", "--show-error", "--max-time", "30", flag, *tls, "--cacert", authority,
                           "--resolve", f"{NAME}:{port}:127.0.0.1", "--write-out", "%{http_version} %{http_code}",
                           f"https://{NAME}:{port}/x"]
                told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                assert told == f"GET /x\n{version} 200".encode(), told


def python_over_tls():
    with origin() as server, balanced(server.address) as (_, admin), tempfile.TemporaryDirectory() as folder:
        port, authority = listening(admin, folder)
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, server_hostname=NAME) as secured:
            secured.sendall(f"GET /x HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: secured.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer


def sslyze_has_no_finding():
    from sslyze import Scanner, ServerNetworkConfiguration, ServerNetworkLocation, ServerScanRequest
    from sslyze.mozilla_tls_profile.tls_config_checker import (
        MozillaTlsConfiguration, ServerNotCompliantWithTlsConfiguration, TlsConfigurationEnum,
        check_server_against_tls_configuration)

    with origin() as server, balanced(server.address) as (_, admin), tempfile.TemporaryDirectory() as folder:
        port, _ = listening(admin, folder)
        location = ServerNetworkLocation(NAME, port, ip_address="127.0.0.1")
        scanner = Scanner()
        scanner.queue_scans([ServerScanRequest(location, ServerNetworkConfiguration(NAME))])
        [result] = scanner.get_results()
        assert result.scan_result, result.connectivity_error_trace
        scans = result.scan_result
        accepted = lambda name: [suite.cipher_suite.name for suite in getattr(scans, name).result.accepted_cipher_suites]
        for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
            assert accepted(f"{old}_cipher_suites") == [], old
        assert accepted("tls_1_2_cipher_suites") and accepted("tls_1_3_cipher_suites")
        for name in accepted("tls_1_2_cipher_suites"):
            assert "ECDHE" in name and ("GCM" in name or "CHACHA20" in name), name
        assert not scans.heartbleed.result.is_vulnerable_to_heartbleed
        assert not scans.openssl_ccs_injection.result.is_vulnerable_to_ccs_injection
        assert scans.robot.result.robot_result.name.startswith("NOT_VULNERABLE"), scans.robot.result
        assert not scans.tls_compression.result.supports_compression
        assert scans.tls_fallback_scsv.result.supports_fallback_scsv or accepted("tls_1_1_cipher_suites") == []
        assert not scans.tls_1_3_early_data.result.supports_early_data
        renegotiation = scans.session_renegotiation.result
        assert not renegotiation.is_vulnerable_to_client_renegotiation_dos and renegotiation.supports_secure_renegotiation
        # Of tickets it only counts those that are given twice, and Weir gives another one each time.
        assert scans.session_resumption.result.session_id_resumption_result.name == "FULLY_SUPPORTED", scans.session_resumption
        assert scans.tls_extended_master_secret.result.supports_ems_extension
        # Mozilla's recommendation, but for who signed the certificate and how long it lasts.
        recommended = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
        try:
            check_server_against_tls_configuration(result, recommended)
        except ServerNotCompliantWithTlsConfiguration as error:
            issues = {name: why for name, why in error.issues.items() if not name.startswith("certificate")}
            assert not issues, issues


def testssl_has_no_finding():
    program = next(path for path in ("/usr/bin/testssl", "/usr/bin/testssl.sh") if os.path.exists(path))
    with origin() as server, balanced(server.address) as (_, admin), tempfile.TemporaryDirectory() as folder:
        port, authority = listening(admin, folder)
        report = Path(folder, "report.json")
        command = [program, "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1", "--nodns", "min",
                   "--protocols", "--server-preference", "--fs", "--vulnerable", "--std", "--server-defaults",
                   "--add-ca", authority, "--jsonfile", str(report), f"{NAME}:{port}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=250)
        found = json.loads(report.read_text())
        assert any(entry["id"] == "TLS1_3" for entry in found), done.stdout
        bad = [entry for entry in found
               if entry["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")
               and not entry["id"].startswith(NOT_OURS)]
        assert not bad, json.dumps(bad, indent=1)


if __name__ == "__main__":
    run(curl_over_tls, python_over_tls, sslyze_has_no_finding, testssl_has_no_finding)
    sys.exit(0)
