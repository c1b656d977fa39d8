"""Scanners of TLS against the default configuration: `sslyze` and `testssl.sh` have nothing to find fault with."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scene import balanced, origin, run
from secured import NAME, connected, context, listening

# What testssl.sh finds fault with and is no matter of the balancer; README.md says why.
NOT_OURS = ("cert_revocation",)

# Attacks it has to have looked for, and not found.
ATTACKS = ("heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "secure_client_renego", "CRIME_TLS", "BREACH",
           "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4")


def curl_over_tls():
    """HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3, with content both ways, and a connection for several requests."""
    with origin() as server, balanced(server.address) as (_, admin), tempfile.TemporaryDirectory() as folder:
        port, authority = listening(admin, folder)
        url = f"https://{NAME}:{port}"
        large = Path(folder, "large")
        large.write_bytes(bytes(range(256)) * 20000)

        def curl(*arguments):
            command = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", authority,
                       "--resolve", f"{NAME}:{port}:127.0.0.1", *arguments]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

        for flag, version in {"--http1.1": "1.1", "--http2": "2"}.items():
            for tls in ("--tls-max", "1.2"), ("--tlsv1.3",):
                told = curl(flag, *tls, "--write-out", "%{http_version} %{http_code}", f"{url}/x")
                assert told == f"GET /x\n{version} 200".encode(), told
                assert curl(flag, *tls, "--data-binary", f"@{large}", url) == large.read_bytes()
                assert len(curl(flag, *tls, f"{url}/bytes/3000000")) == 3000000
                told = curl(flag, *tls, "--write-out", "%{num_connects}\n", *(f"{url}/{n}" for n in range(5)))
                assert [line for line in told.split() if line in b"01"] == [b"1", b"0", b"0", b"0", b"0"], told


def python_over_tls():
    with origin() as server, balanced(server.address) as (_, admin), tempfile.TemporaryDirectory() as folder:
        port, authority = listening(admin, folder)
        with connected(port, context(authority), timeout=30) as secured:
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
               and entry["id"] not in NOT_OURS]
        assert not bad, json.dumps(bad, indent=1)
        verdicts = {entry["id"]: entry["severity"] for entry in found}
        missing = [attack for attack in ATTACKS if verdicts.get(attack) != "OK"]
        assert not missing, f"not looked for: {missing}: {json.dumps(found)}"


if __name__ == "__main__":
    run(curl_over_tls, python_over_tls, sslyze_has_no_finding, testssl_has_no_finding)
    sys.exit(0)
