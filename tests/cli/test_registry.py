"""Finding servers by name, and one pull from several of them: with an etcd of the test's own."""

import base64
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import BIN, LARGE, SMALL, kvferry
from etcd import Etcd

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOREVER = ["--count", "1000000", "--no-verify"]


@pytest.fixture
def etcd(tmp_path):
    running = Etcd(tmp_path)
    yield running
    running.kill()


def serve(start, etcd, name, *args, size=SMALL):
    return start.server(*size, "--name", name, "--registry", etcd.registry, "--lease", "2", *args)


def pull(etcd, servers, *args, size=SMALL):
    return kvferry("pull", *size, "--from", servers, "--registry", etcd.registry, *args)


def peers(etcd, *args):
    return kvferry("peers", "--registry", etcd.registry, *args)


def test_a_server_is_found_by_its_name_until_it_ends(start, etcd):
    server = serve(start, etcd, "prefill-0")
    server.wait_for(r"^registered +prefill-0 at 127\.0\.0\.1:\d+ in etcd://")
    result = pull(etcd, "prefill-0")
    assert result.returncode == 0, result.stderr
    assert "served by prefill-0 (" in result.stdout
    assert "verified  256 blocks x 4 layers" in result.stdout
    assert kvferry("explain", *SMALL, "--from", "prefill-0", "--registry", etcd.registry).returncode == 0
    assert server.end() == 0
    assert etcd.names() == []  # at once, not when the lease ends


def test_the_environment_names_the_registry(start, etcd):
    serve(start, etcd, "prefill-0", "--writable")
    env = {**os.environ, "KVFERRY_REGISTRY": etcd.registry}
    assert kvferry("push", *SMALL, "--to", "prefill-0", env=env).returncode == 0
    assert "prefill-0" in kvferry("peers", env=env).stdout


def test_a_name_that_is_not_there(start, etcd):
    serve(start, etcd, "prefill-0")
    result = pull(etcd, "prefill-7")
    assert result.returncode == 3
    assert "knows no 'prefill-7'; there are: prefill-0" in result.stderr


def test_a_deadline_is_for_the_way_by_name_too(start, etcd):
    server = serve(start, etcd, "prefill-0")
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        late = pull(etcd, "prefill-0", "--deadline", "1s")
        assert late.returncode == 5, late.stderr
        assert "the deadline of 1s passed" in late.stderr
        assert time.monotonic() - began < 3
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_a_registry_that_never_answers(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = f"etcd://127.0.0.1:{silent.getsockname()[1]}"
        command = ["pull", *SMALL, "--from", "prefill-0", "--registry", registry]
        began = time.monotonic()
        late = kvferry(*command, "--deadline", "500ms")
        assert late.returncode == 5, late.stderr
        assert "the deadline of 500ms passed" in late.stderr
        assert time.monotonic() - began < 2
        patient = kvferry(*command)
        assert patient.returncode == 3, patient.stderr
        assert "cannot be reached" in patient.stderr
        waiting = start(*command)
        held = [silent.accept() for _ in range(3)]  # the third is the one that waits
        began = time.monotonic()
        assert waiting.end() == 130
        assert time.monotonic() - began < 1.5
        for connection, _ in held:
            connection.close()


def test_a_server_that_is_killed_goes_with_its_lease(start, etcd):
    server = serve(start, etcd, "prefill-0")
    server.process.kill()
    # A lease of 2 s, and etcd looks for ended ones every half second; the rest is for a busy machine.
    etcd.wait_for([], timeout=15)


def test_a_server_that_was_killed_can_be_started_again_at_once(start, etcd):
    serve(start, etcd, "prefill-0").process.kill()
    again = serve(start, etcd, "prefill-0")  # waits for the lease, no longer
    assert pull(etcd, "prefill-0").returncode == 0
    assert again.process.poll() is None


def test_a_name_is_one_servers(start, etcd):
    first = serve(start, etcd, "prefill-0")
    args = ["--port", "0", "--socket", first.socket + ".2", "--lease", "2"]
    result = kvferry("serve", *SMALL, *args, "--name", "prefill-0", "--registry", etcd.registry)
    assert result.returncode == 4
    assert f"the name 'prefill-0' is taken by pid {first.process.pid} on " in result.stderr
    assert "which is alive" in result.stderr
    assert "ready:" not in result.stdout
    assert pull(etcd, "prefill-0").returncode == 0


def test_peers_lists_geometry_and_load(start, etcd):
    assert peers(etcd).stdout == f"nobody is registered in {etcd.registry}\n"
    server = serve(start, etcd, "prefill-0", "--fill", "indexed")
    assert pull(etcd, "prefill-0").returncode == 0
    deadline = time.monotonic() + 20
    while True:  # the load comes with the next renewal
        document = json.loads(peers(etcd, "--json", "-").stdout)
        (peer,) = document["peers"]
        if peer["served_bytes"] > 0:
            break
        assert time.monotonic() < deadline, document
        time.sleep(0.1)
    assert document["registry"] == etcd.registry and document["exit_code"] == 0
    assert peer["name"] == "prefill-0" and peer["health"] == "ready"
    assert peer["addresses"] == [f"127.0.0.1:{server.port}"]
    assert peer["pid"] == server.process.pid and peer["same_host"] and 0 <= peer["age_s"] < 120
    assert peer["served_bytes"] == 4 * 256 * 512 and peer["served_transfers"] == 1
    (pool,) = peer["pools"]
    assert (pool["layers"], pool["kv"], pool["heads"], pool["dims"]) == (4, 2, 2, 16)
    assert (pool["block_size"], pool["dtype"], pool["blocks"]) == (4, "bf16", 5242)
    assert pool["tag"] == "fill=indexed" and not pool["writable"] and pool["device"] == "host"
    text = peers(etcd).stdout
    assert re.search(r"prefill-0 +127\.0\.0\.1:\d+ +ready +kv +4x2x2x16x4 bf16 +5,242 +10\.2 MiB", text), text


def test_peers_watches(start, etcd):
    watch = start("peers", "--registry", etcd.registry, "--watch", "--interval", "50ms")
    watch.wait_for(r"^nobody is registered")
    server = serve(start, etcd, "prefill-0")
    watch.wait_for(r" UTC, 1 server:$")
    watch.wait_for(r"prefill-0")
    server.end()
    watch.wait_for(r" UTC, 0 servers:$|UTC, 0 server")
    assert watch.end() == 0


def test_entries_that_are_none_of_ours_are_left_out_and_said(start, etcd):
    serve(start, etcd, "prefill-0")
    etcd.put("other", "{}")
    etcd.put("odd name", "x")
    etcd.put("later", '{"schema": 9}')
    result = peers(etcd)
    assert result.returncode == 0
    assert "prefill-0" in result.stdout and "other" not in result.stdout
    assert "left out: registry entry 'other': schema is missing" in result.stderr
    assert "left out: registry entry 'odd name'" in result.stderr
    assert "use the same release" in result.stderr
    result = pull(etcd, "other")
    assert result.returncode == 4 and "registry entry 'other'" in result.stderr


def test_an_entry_that_is_deleted_comes_back(start, etcd):
    serve(start, etcd, "prefill-0")
    etcd.delete("prefill-0")
    etcd.wait_for(["prefill-0"])


@pytest.mark.parametrize("wiped", [False, True], ids=["data kept", "data lost"])
def test_a_registry_that_restarts(start, etcd, wiped):
    server = serve(start, etcd, "prefill-0")
    running = start("pull", *SMALL, "--from", "prefill-0", "--registry", etcd.registry, *FOREVER)
    running.wait_for(r"#3 ")
    etcd.kill()
    server.wait_for(r"^warning +registry etcd://.* cannot be reached .*; transfers go on")
    result = pull(etcd, "prefill-0")
    assert result.returncode == 3 and "cannot be reached" in result.stderr
    # Without a registry everything works by address.
    assert server.pull(*SMALL).returncode == 0
    etcd.start(wiped)
    server.wait_for(r"^warning +'prefill-0' is registered again")
    etcd.wait_for(["prefill-0"])
    assert pull(etcd, "prefill-0").returncode == 0
    # What was running never noticed.
    assert running.process.poll() is None
    lost = [line for line in server.lines if "cannot be reached" in line]
    assert len(lost) == 1, lost
    assert running.end() == 130


def test_a_server_ends_soon_without_its_registry(start, etcd):
    server = serve(start, etcd, "prefill-0")
    etcd.kill()
    began = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - began < 5
    assert "stays until its lease ends" in server.text()


def test_three_servers_gathered_by_one_pull(start, etcd):
    # Servers hold different bytes: a block from the wrong one would show.
    names = ["prefill-0", "prefill-1", "prefill-2"]
    for name, fill in zip(names, ["ones", "indexed", "ones"]):
        serve(start, etcd, name, "--fill", fill, size=LARGE)
    for args in (["--blocks", "scattered:1", "--into", "scattered:2"], ["--layer-range", "3:17"]):
        result = pull(etcd, ",".join(names), "--json", "-", "--count", "3", *args, size=LARGE)
        assert result.returncode == 0, result.stderr
        document = json.loads(result.stdout)
        assert [remote["address"] for remote in document["remotes"]] == names
        assert document["remote"]["address"] == names[0]
        assert document["verification"]["checked"]
        assert document["verification"]["mismatched_bytes"] == 0
        assert document["verification"]["other_mismatched_bytes"] == 0
        assert document["verification"]["blocks"] == 64
        for transfer in document["transfers"]:
            shares = transfer["shares"]
            assert [share["server"] for share in shares] == names
            assert [share["blocks"] for share in shares] == [21, 21, 22]
            assert sum(share["bytes"] for share in shares) == transfer["bytes"]
            assert all(share["seconds"] <= transfer["seconds"] for share in shares)
    text = pull(etcd, ",".join(names), size=LARGE).stdout
    assert re.search(r"prefill-1: 21 blocks \(52\.5 MiB\) in .* GB/s", text), text


def test_a_gather_goes_by_address_too(start):
    servers = [start.server(*SMALL) for _ in range(2)]
    addresses = f"127.0.0.1:{servers[0].port},unix:{servers[1].socket}"
    result = kvferry("pull", *SMALL, "--from", addresses)
    assert result.returncode == 0, result.stderr
    for server in servers:
        server.wait_for(r"^served .*pull of 128 blocks")


def test_a_gather_that_loses_one_server_says_which(start, etcd):
    serve(start, etcd, "a", size=LARGE)
    doomed = serve(start, etcd, "b", size=LARGE)
    args = ["--from", "a,b", "--registry", etcd.registry]
    running = start("pull", *LARGE, *args, *FOREVER)
    running.wait_for(r"#3 ")
    doomed.process.kill()
    assert running.wait(60) == 3
    assert re.search(r"kvferry pull: transfer \d+ of 1000000, from b: ", running.lines[-1]), running.text()


def test_a_gather_with_a_server_that_differs_says_which(start, etcd):
    serve(start, etcd, "a")
    five_layers = list(SMALL)
    five_layers[five_layers.index("--layers") + 1] = "5"
    serve(start, etcd, "b", size=five_layers)
    result = pull(etcd, "a,b")
    assert result.returncode == 4
    assert "kvferry pull: b: " in result.stderr and "--layers" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["pull", "--from", "a"], 2, "give --registry"),
        (["pull", "--from", "a,a", "--registry", "etcd://h"], 2, "comes twice"),
        (["pull", "--from", "a", "--port", "1"], 2, "--from"),
        (["push", "--to", "a:1,b:1"], 2, "a push goes to one"),
        (["pull", "--input-tokens", "16", "--from", "127.0.0.1:1", "--registry", "http://h"], 2, "etcd://"),
        (["serve", "--registry", "etcd://h"], 2, "--name"),
        (["serve", "--name", "a b", "--registry", "etcd://h"], 2, "a b"),
        (["serve", "--advertise", "h:1"], 2, "--advertise"),
        (["serve", "--name", "a", "--registry", "etcd://h", "--advertise", "h"], 2, "--advertise"),
        (["peers"], 2, "--registry is missing"),
        (["peers", "--registry", "etcd://127.0.0.1:1"], 3, "127.0.0.1:1"),
        (["peers", "--registry", "etcd://h", "--watch", "--json", "/tmp/x"], 2, "--watch"),
    ],
)
def test_mistakes(args, code, message, tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "KVFERRY_REGISTRY"}
    if args[0] == "serve":
        args = [*args, "--port", "0", "--socket", str(tmp_path / "s")]
    size = [] if args[0] == "peers" else SMALL
    result = kvferry(*args, *size, env=env)
    assert result.returncode == code, result.stderr
    assert message in result.stderr


def test_a_registry_in_the_environment_is_no_reason_to_register(start, etcd, monkeypatch):
    monkeypatch.setenv("KVFERRY_REGISTRY", etcd.registry)
    server = start.server(*SMALL)
    server.wait_for(r"^note: not registered: KVFERRY_REGISTRY is set, but there is no --name")
    assert etcd.names() == []


def test_a_password_is_needed_where_etcd_wants_one_and_never_shown(start, etcd):
    etcd.ask("auth/user/add", {"name": "root", "password": "se cret"})
    etcd.ask("auth/role/add", {"name": "root"})
    etcd.ask("auth/user/grant", {"user": "root", "role": "root"})
    etcd.ask("auth/enable", {})
    address = etcd.registry.removeprefix("etcd://")
    good = f"etcd://root:se%20cret@{address}"
    serve_args = [*SMALL, "--name", "a", "--lease", "2", "--registry", good]
    server = start.server(*serve_args)
    result = kvferry("peers", "--registry", good, "--json", "-")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["peers"][0]["name"] == "a"
    document = kvferry("pull", *SMALL, "--from", "a", "--registry", good, "--json", "-")
    assert document.returncode == 0, document.stderr
    for bad in (f"etcd://root:wrong@{address}", f"etcd://{address}"):
        denied = kvferry("peers", "--registry", bad)
        assert denied.returncode == 4, denied.stderr
        assert "wrong" not in denied.stderr
    assert "cret" not in result.stdout + document.stdout + document.stderr + server.text()


def test_a_stopped_server_is_forgotten_and_registers_again(start, etcd):
    server = serve(start, etcd, "prefill-0")
    server.process.send_signal(signal.SIGSTOP)
    etcd.wait_for([], timeout=15)
    server.process.send_signal(signal.SIGCONT)
    etcd.wait_for(["prefill-0"], timeout=15)
    assert pull(etcd, "prefill-0").returncode == 0


def shell_blocks(page):
    return re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page(etcd, tmp_path):
    """Every line of docs/discovery.md's shell blocks, on small pools and this test's etcd."""
    setup, lines = shell_blocks((ROOT / "docs" / "discovery.md").read_text())
    prologue = f"""
        kvferry() {{
          case $1 in
            peers) "{BIN}" "$@" ;;
            serve) exec "{BIN}" "$@" {" ".join(SMALL)} ;; # in the background: what is killed is it
            *) "{BIN}" "$@" {" ".join(SMALL)} ;;
          esac
        }}
        etcd() {{ :; }}
        trap 'kill $(jobs -p); wait' EXIT
    """
    script = prologue + setup.replace("127.0.0.1:2379", f"127.0.0.1:{etcd.port}")
    script += "until [ $(kvferry peers | grep -c prefill-) = 3 ]; do sleep 0.1; done\nset -e\n" + lines
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("verified ") == 3


def test_the_example_program(etcd):
    program = pathlib.Path(BIN).resolve().parents[2] / "examples" / "registry"
    if not program.exists():
        pytest.skip(f"the examples were not built: no {program}")
    result = subprocess.run([program, etcd.registry, "example"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "example at 127.0.0.1:" in result.stdout and "7 blocks from example (pid" in result.stdout
    assert etcd.names() == []


def test_a_registry_whose_list_has_no_end(tmp_path):
    asked = []

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            key = base64.b64encode(b"/kvferry/v1/peers/x").decode()
            body = json.dumps({"more": True, "kvs": [{"key": key, "value": "e30=", "lease": "1"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = kvferry("peers", "--registry", f"etcd://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert result.returncode == 4, result.stderr
    assert "lists 'x' after 'x'" in result.stderr
    assert len(asked) == 2
