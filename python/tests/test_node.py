"""Listening and connecting."""

import base64
import os
import socket
import stat
import threading
import time

import pytest

import kvferry
import serving


def meets(listening, address):
    with kvferry.Node() as node:
        return node.connect(address).alive


def test_addresses(tmp_path):
    with kvferry.Node() as node:
        assert (node.address, node.port) == ("", 0)
        address = node.listen(port=0)
        assert address == node.address == f"127.0.0.1:{node.port}"
        assert meets(node, address)
        assert "not listening" not in repr(node)
        with pytest.raises(kvferry.InvalidArgument, match="listening already"):
            node.listen(port=0)
    assert "closed" in repr(node)
    with kvferry.Node() as node:
        assert meets(node, node.listen("[::1]:0"))
        assert node.address.startswith("[::1]:")
    with kvferry.Node() as node:
        assert node.listen(f"unix:{tmp_path}/s") == f"unix:{tmp_path}/s"
        assert node.port == 0
        assert meets(node, node.address)
    with kvferry.Node() as node:
        node.listen(port=0, socket_path=tmp_path / "t")
        assert stat.S_IMODE(os.stat(tmp_path / "t").st_mode) == 0o600
        assert meets(node, f"unix:{tmp_path}/t")


def test_two_nodes_of_one_process_on_any_port():
    with kvferry.Node() as one, kvferry.Node() as other:
        assert one.listen(port=0) != other.listen(port=0)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"address": "127.0.0.1:http"}, kvferry.InvalidArgument, "host:port"),
        ({"port": 70000}, kvferry.InvalidArgument, "70000"),
        ({"address": "0.0.0.0:0"}, kvferry.Refused, "insecure"),
        ({"address": "nowhere:0"}, kvferry.InvalidArgument, "nowhere"),
    ],
)
def test_where_one_cannot_listen(arguments, error, says):
    with kvferry.Node() as node, pytest.raises(error, match=says):
        node.listen(**arguments)


def test_a_port_in_use():
    with kvferry.Node() as one, kvferry.Node() as other:
        one.listen(port=0)
        with pytest.raises(kvferry.ResourceError, match="in use"):
            other.listen(port=one.port)


def test_where_nobody_listens():
    with kvferry.Node() as node:
        with pytest.raises(kvferry.Unreachable, match=r"127\.0\.0\.1:1"):
            node.connect("127.0.0.1:1", timeout=5)
        with pytest.raises(kvferry.InvalidArgument):
            node.connect("127.0.0.1:1", timeout=-1)


def test_the_directory_of_the_socket(monkeypatch, tmp_path):
    from kvferry import _node

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o755)  # open to others: not used
    assert not _node._socket_path(5).startswith(str(tmp_path))
    tmp_path.chmod(0o700)
    assert _node._socket_path(5) == f"{tmp_path}/kvferry-5.sock"


def test_pools_of_a_node():
    with kvferry.Node("a") as node:
        pool = kvferry.Pool.allocate(serving.SHAPE, 4)
        node.add(pool)
        assert node.pools == [pool]
        with pytest.raises(kvferry.InvalidArgument, match="'kv'"):
            node.add(pool)
        with pytest.raises(kvferry.InvalidArgument, match="Node"):
            kvferry.Node("a b")


def test_peers_of_both_sides():
    with kvferry.Node("a") as a, kvferry.Node("b") as b:
        there = b.connect(a.listen(port=0))
        until = time.monotonic() + 10
        while not a.peers and time.monotonic() < until:
            time.sleep(0.01)  # it hears of the connection later
        assert [p.name.split()[0] for p in a.peers] == ["b"]
        assert [p.name.split()[0] for p in b.peers] == ["a"]
        there.close()
        there.close()


def test_a_closed_node():
    node = kvferry.Node()
    node.close()
    node.close()
    assert node.closed
    for use in (lambda: node.listen(port=0), lambda: node.connect("127.0.0.1:1"), lambda: node.next_notice(0)):
        with pytest.raises(kvferry.InvalidArgument, match="closed"):
            use()


def test_a_peer_keeps_its_node():
    with kvferry.Node() as server:
        server.add(kvferry.Pool.allocate(serving.SHAPE, 4))
        node = kvferry.Node()
        node.add(kvferry.Pool.allocate(serving.SHAPE, 4))
        peer = node.connect(server.listen(port=0))
        del node
        assert peer.pull([1], [1]).wait().blocks == 1


def test_credentials(tmp_path):
    with pytest.raises(kvferry.Error, match="token"):
        kvferry.Node(credentials=kvferry.Credentials(token_file=tmp_path / "none"))
    token = tmp_path / "token"
    token.write_text("decode " + base64.b64encode(bytes(range(32))).decode() + "\n")
    token.chmod(0o600)
    with kvferry.Node(credentials=kvferry.Credentials(token_file=token)) as node:
        address = node.listen("0.0.0.0:0", permissions=[kvferry.Permission(credential="decode", write=False)])
        assert address.startswith("0.0.0.0:")


def test_close_waits_for_calls_of_other_threads_and_then_ends_the_node():
    node = kvferry.Node()
    host, port = node.listen("127.0.0.1:0").rsplit(":", 1)
    ended = []

    def wait():
        with pytest.raises(kvferry.Error):
            node.next_notice()
        ended.append(True)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.1)
    node.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 1)
    waiter.join(5)
    assert ended
