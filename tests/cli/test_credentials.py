"""Who may come in from other hosts: keygen, credentials, and what docs/security.md shows."""

import pathlib
import re
import shlex
import subprocess

import pytest
from conftest import BIN, SMALL, kvferry

SECURITY = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()


def keygen(directory, *args):
    result = kvferry("keygen", *args, "--dir", str(directory))
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    keygen(directory, "authority")
    for name in ("server", "client"):
        keygen(directory, "certificate", "--name", name, "--host", "127.0.0.1")
    for name in ("a", "b"):
        keygen(directory, "token", "--name", name)
    return directory


def token(keys, name):
    return ["--token-file", str(keys / f"{name}.token")]


def certificate(keys, name):
    files = {"--tls-cert": f"{name}.pem", "--tls-key": f"{name}.key", "--tls-ca": "ca.pem"}
    return [word for flag, file in files.items() for word in (flag, str(keys / file))]


def serve(start, *args):
    """A server whose Unix socket cannot be found: its clients do as on another host."""
    server = start.server(*SMALL, *args)
    pathlib.Path(server.socket).unlink()
    return server


def explain(server, *args):
    return kvferry("explain", "--port", server.port, *SMALL, *args)


def test_plain_data_that_the_other_side_does_not_give_is_said(start, keys):
    def pull(server, *args):
        return kvferry("pull", "--port", server.port, *SMALL, "--input-tokens", "16", *token(keys, "a"), *args)

    said = "blocks travel encrypted although --plain-data was given here"
    server = serve(start, *token(keys, "a"))
    result = pull(server, "--plain-data")
    assert result.returncode == 0, result.stderr
    assert said in result.stderr and " tls stream" in result.stdout
    assert said not in pull(server).stderr
    both = serve(start, *token(keys, "a"), "--plain-data")
    result = pull(both, "--plain-data")
    assert result.returncode == 0, result.stderr
    assert said not in result.stderr and " tcp stream" in result.stdout
    result = pull(both)
    assert result.returncode != 0 and "give --plain-data on both sides, or on neither" in result.stderr


def test_secrets_are_closed_to_others_and_nothing_is_overwritten(keys):
    modes = {file.name: file.stat().st_mode & 0o777 for file in keys.iterdir()}
    assert {name for name, mode in modes.items() if mode & 0o077} <= {"ca.pem", "server.pem", "client.pem"}
    assert modes["a.token"] == modes["ca.key"] == modes["server.key"] == 0o600
    before = (keys / "a.token").read_text()
    again = kvferry("keygen", "token", "--name", "a", "--dir", str(keys))
    assert again.returncode == 6
    assert "is there already" in again.stderr
    assert (keys / "a.token").read_text() == before


def test_two_tokens_are_never_the_same(keys):
    secrets = {(keys / f"{name}.token").read_text().split()[1] for name in ("a", "b")}
    assert len(secrets) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9+/]{43}=", secret) for secret in secrets)


def test_openssl_takes_the_certificates(keys, tmp_path):
    def openssl(*args):
        return subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=60, cwd=keys)

    if openssl("version").returncode != 0:
        pytest.skip("no openssl program")
    assert openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "server.pem").returncode == 0
    shown = openssl("x509", "-in", "server.pem", "-noout", "-text").stdout
    assert "DNS:server, IP Address:127.0.0.1" in shown
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in shown


@pytest.mark.parametrize(
    "args, named",
    [
        (["certificate"], "--name"),
        (["token", "--host", "x"], "--host is for certificates"),
        (["token", "--days", "3"], "does not expire"),
        (["token", "--name", "a/b"], "1 to 64"),
        (["password"], '"password" is not one of token, authority, certificate'),
        (["certificate", "--name", "x", "--days", "0"], '"0"'),
    ],
)
def test_keygen_says_what_is_wrong(tmp_path, args, named):
    result = kvferry("keygen", *args, "--dir", str(tmp_path))
    assert result.returncode == 2
    assert named in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_needs_an_authority(tmp_path):
    result = kvferry("keygen", "certificate", "--name", "x", "--dir", str(tmp_path))
    assert result.returncode == 6
    assert "keygen authority" in result.stderr


@pytest.mark.parametrize("kind", [token, certificate])
def test_the_right_credential_lets_in(start, keys, kind):
    both = ("a", "a") if kind is token else ("server", "client")
    server = serve(start, *kind(keys, both[0]))
    result = explain(server, *kind(keys, both[1]))
    assert "host_shm" in result.stdout, result.stderr
    assert "reached over TCP" in result.stdout
    server.wait_for(rf"^connected .*127\.0\.0\.1:\d+, (token|certificate) '{both[1]}'")


@pytest.mark.parametrize(
    "at_server, at_client, said",
    [
        ((token, "a"), (token, "b"), "does not know our token"),
        ((token, "a"), None, "wants a token (--token-file)"),
        ((certificate, "server"), None, "wants a certificate (--tls-cert"),
        ((certificate, "server"), (token, "a"), "wants a certificate"),
        ((token, "a"), (certificate, "client"), "wants a token"),
        (None, (token, "a"), "we do not fall back to an unencrypted connection"),
    ],
)
def test_a_wrong_credential_is_one_clear_error(start, keys, at_server, at_client, said):
    server = serve(start, *(at_server[0](keys, at_server[1]) if at_server else ["--insecure"]))
    result = explain(server, *(at_client[0](keys, at_client[1]) if at_client else []))
    assert result.returncode == 4
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "5242" not in result.stdout + result.stderr  # blocks of the server's pool: no geometry
    assert "connected" not in server.text()


def test_failures_are_in_the_servers_log(start, keys):
    server = serve(start, *token(keys, "a"))
    for _ in range(3):
        explain(server, *token(keys, "b"))
    server.wait_for(r"a connection from 127\.0\.0\.1:\d+ was not let in: the client does not have the token")
    server.wait_for(r"\(2 such from 127\.0\.0\.1 by now\)")


def test_permissions(start, keys):
    server = serve(start, *token(keys, "a"), "--writable", "--permit", "a=read:kv")
    assert "read-only" in explain(server, *token(keys, "a")).stdout
    both = keys / "both.tokens"
    both.write_text((keys / "a.token").read_text() + (keys / "b.token").read_text())
    both.chmod(0o600)
    other = serve(start, "--token-file", str(both), "--permit", "b=read")
    refused = explain(other, *token(keys, "a"))
    assert refused.returncode == 4, refused.stderr
    assert "token 'a' has no permission here (--permit)" in refused.stderr
    other.wait_for("was not let in: .*token 'a' has no permission here")


def test_who_may_only_read_hears_that_others_may_write(start, keys):
    server = start.server(*SMALL, *token(keys, "a"), "--writable", "--fill", "indexed", "--permit", "a=read")
    assert server.push(*SMALL, "--blocks", "33", "--no-verify").returncode == 0
    pathlib.Path(server.socket).unlink()
    result = server.pull(*SMALL, "--blocks", "30-39", "--into", "0-9", *token(keys, "a"))
    assert result.returncode == 1
    assert "if others may push into the server's pool, blocks that somebody pushed into hold other" in result.stderr


def test_who_may_only_write(start, keys):
    server = serve(start, *token(keys, "a"), "--writable", "--permit", "a=write")
    where = ["--port", server.port, *SMALL, *token(keys, "a")]
    for refused in kvferry("pull", *where), kvferry("push", *where):
        assert refused.returncode == 4, refused.stderr
        assert "the credential may not pull pool 'kv'" in refused.stderr
    assert "--no-verify" in kvferry("push", *where).stderr
    assert kvferry("push", *where, "--no-verify").returncode == 0


def test_permissions_for_nobody(start, keys, tmp_path):
    for permit, why in ("readr=read", "it has a"), ("a=read:kw", "this server has one, 'kv'"):
        socket = ["--port", "0", "--socket", str(tmp_path / "s")]
        refused = kvferry("serve", *SMALL, *socket, *token(keys, "a"), "--permit", permit)
        assert refused.returncode in (2, 4), refused.stderr
        assert why in refused.stderr


def test_beyond_loopback_needs_a_credential(start, keys, tmp_path):
    refused = kvferry("serve", *SMALL, "--ip", "0.0.0.0", "--port", "0", "--socket", str(tmp_path / "s"))
    assert refused.returncode == 4
    assert "--token-file" in refused.stderr
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    where = ["serve", *SMALL, "--ip", "0.0.0.0", "--port", "0", "--socket", str(private / "s")]
    secured = start(*where, *token(keys, "a"))
    secured.wait_for("^ready: ")
    assert "insecure" not in secured.text()
    secured.end()
    start(*where, "--insecure").wait_for("insecure: anyone who reaches 0.0.0.0 port")


@pytest.mark.parametrize(
    "args, named",
    [
        (["--token-file", "{keys}/none"], "No such file"),
        (["--tls-cert", "{keys}/server.pem"], "all three"),
        (["--tls-cert", "{keys}/server.pem", "--tls-key", "{keys}/client.key", "--tls-ca", "{keys}/ca.pem"],
         "not the key of the certificate"),
        (["--token-file", "{keys}/a.token", "--insecure"], "contradict"),
        (["--permit", "a=read"], "need credentials"),
        (["--token-file", "{keys}/a.token", "--permit", "a"], "--permit"),
        (["--plain-data"], "needs a credential"),
        (["--tls-cert", "/nope", "--tls-key", "{keys}/server.key", "--tls-ca", "{keys}/ca.pem"],
         "--tls-cert /nope: no certificate can be read from it (PEM): No such file or directory"),
        (["--tls-cert", "{keys}/server.pem", "--tls-key", "{keys}/server.key", "--tls-ca", "/nope"],
         "--tls-ca /nope: no certificate can be read from it (PEM): No such file or directory"),
        (["--tls-cert", "{keys}/server.key", "--tls-key", "{keys}/server.key", "--tls-ca", "{keys}/ca.pem"],
         "(PEM): no start line"),
    ],
)  # fmt: skip
def test_serve_says_what_is_wrong(keys, tmp_path, args, named):
    tmp_path.chmod(0o700)
    words = [word.format(keys=keys) for word in args]
    result = kvferry("serve", *SMALL, "--port", "0", "--socket", str(tmp_path / "s"), *words)
    assert result.returncode == 2, result.stderr
    assert named in result.stderr


def test_a_name_needs_a_certificate(keys):
    for credential in [], token(keys, "a"):
        result = kvferry("pull", *SMALL, "--tls-name", "x", *credential)
        assert result.returncode == 2
        assert "--tls-name needs a certificate" in result.stderr


def test_a_token_that_others_can_read_is_refused(keys, tmp_path):
    file = tmp_path / "open.token"
    file.write_text((keys / "a.token").read_text())
    file.chmod(0o644)
    result = kvferry("pull", *SMALL, "--token-file", str(file))
    assert result.returncode == 2
    assert "chmod 600" in result.stderr
    assert file.read_text().split()[1] not in result.stderr


def documented(kind):
    return re.findall(rf"```{kind}\n(.*?)```", SECURITY, re.S)


def test_what_the_security_page_shows(start, tmp_path):
    """Its console sessions word by word; its servers and clients with a free port of this host."""
    def sh(command):
        return subprocess.run(
            ["bash", "-c", command.replace("kvferry ", f"{shlex.quote(BIN)} ", 1)],
            capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True,
        ).stdout  # fmt: skip

    for session in documented("console"):
        parts = re.split(r"^\$ (.*)\n", session, flags=re.M)[1:]
        for command, output in zip(parts[::2], parts[1::2], strict=True):
            assert sh(command) == output
    sh("kvferry keygen certificate --name decode-3 --host 10.0.0.6")
    for name in ("reader", "loader"):
        sh(f"kvferry keygen token --name {name}")
    servers = clients = 0
    for block in documented("text"):
        for line in block.splitlines():
            if not line.startswith("kvferry"):
                sh(line)
                continue
            words = [
                str(tmp_path / w) if w.endswith((".token", ".tokens", ".pem", ".key")) else w
                for w in shlex.split(line)[2:]
            ]
            words = ["127.0.0.1" if w == "10.0.0.5" else w for w in words]
            if shlex.split(line)[1] == "serve":
                server = serve(start, *words)
                servers += 1
            else:
                # The page's certificate is for the address shown there.
                name = ["--tls-name", "prefill-0"] if "--tls-ca" in words else []
                assert "reached over TCP" in explain(server, *words, *name).stdout
                clients += 1
    assert servers == 3 and clients == 2
