"""A registry that is reached inside TLS: with an etcd of the test's own."""

import shutil
import subprocess
import time

import pytest
from conftest import SMALL, kvferry
from etcd import Etcd


def certificates(directory):
    """An authority and a certificate of it for 127.0.0.1: (ca, certificate, key)."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl was not found")
    ca, certificate, key = (str(directory / name) for name in ("ca.pem", "cert.pem", "key.pem"))

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=directory)

    new = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", ca, "-subj", "/CN=ca", "-days", "2")
    openssl("req", *new, "-keyout", key, "-out", "csr.pem", "-subj", "/CN=etcd")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        *("x509", "-req", "-in", "csr.pem", "-CA", ca, "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "2", "-extfile", "names", "-out", certificate),
    )
    return ca, certificate, key


def test_tls(start, tmp_path):
    ca, certificate, key = certificates(tmp_path)
    etcd = Etcd(tmp_path, tls=(ca, certificate, key))
    try:
        tls = ["--registry-ca", ca, "--registry-cert", certificate, "--registry-key", key]
        deadline = time.monotonic() + 30
        while kvferry("peers", "--registry", etcd.registry, *tls).returncode != 0:
            assert time.monotonic() < deadline
        start.server(*SMALL, "--name", "a", "--registry", etcd.registry, "--lease", "2", *tls)
        found = kvferry("pull", *SMALL, "--from", "a", "--registry", etcd.registry, *tls)
        assert found.returncode == 0
        # An authority that we do not know, and no certificate of our own.
        for args in ([], ["--registry-ca", ca]):
            assert kvferry("peers", "--registry", etcd.registry, *args).returncode == 3
    finally:
        etcd.kill()


def test_tls_files_are_looked_at_before_anybody_is_asked(tmp_path):
    ca, certificate, key = certificates(tmp_path)
    other = tmp_path / "other.pem"
    other.write_text("no PEM")
    nobody = ("peers", "--registry", "etcds://127.0.0.1:1")
    for args, named in (
        (["--registry-ca", "gone.pem"], "--registry-ca gone.pem: no certificate can be read"),
        (["--registry-ca", other], f"--registry-ca {other}: no certificate can be read"),
        (["--registry-cert", other, "--registry-key", key], f"--registry-cert {other}: no cert"),
        (["--registry-cert", certificate, "--registry-key", other], f"--registry-key {other}: no"),
        (
            ["--registry-cert", certificate, "--registry-key", tmp_path / "ca.key"],
            f"it is not the key of the certificate in {certificate}",
        ),
        (["--registry-cert", certificate], "--registry-cert and --registry-key go together"),
    ):
        result = kvferry(*nobody, *args)
        assert result.returncode == 2, args
        assert named in result.stderr
    result = kvferry("peers", "--registry", "etcd://127.0.0.1:1", "--registry-ca", ca)
    assert result.returncode == 2
    assert "are for etcds://" in result.stderr
    # These are good, and nobody is there.
    good = ["--registry-ca", ca, "--registry-cert", certificate, "--registry-key", key]
    assert kvferry(*nobody, *good).returncode == 3
