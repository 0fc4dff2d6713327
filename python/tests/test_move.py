"""Pulls and pushes, waited for."""

import numpy
import pytest

import kvferry
import serving


def test_pull(pair, check):
    _, pool, peer = pair
    report = peer.pull([7, 3, 42], [0, 1, 2]).wait()
    check(pool, [(7, 0), (3, 1), (42, 2)])
    assert report.path == "host_shm"
    assert (report.blocks, report.layers, report.bytes) == (3, 4, 3 * 4 * 512)
    assert report.total_s > 0
    assert report.gb_per_s > 0


def test_push(serve, node):
    server = serve(writable=True, filled=False)
    pool = kvferry.Pool.allocate(serving.SHAPE, 8)
    serving.fill(pool)
    node.add(pool)
    node.connect(server.address).push([60, 61], [3, 4]).wait()
    for layer in range(4):
        assert server.ask("bytes_of", layer, 61) == serving.row(pool.shape, layer, 4).tobytes()
        assert server.ask("bytes_of", layer, 5) == bytes(512)


def test_push_needs_a_writable_pool(pair):
    _, _, peer = pair
    with pytest.raises(kvferry.Refused, match="writable"):
        peer.push([1], [1])


def test_either_side_may_move(serve, node, check):
    server = serve()
    pool = kvferry.Pool.allocate(serving.SHAPE, 64, writable=True)
    node.add(pool)
    node.connect(server.address)
    assert server.ask("push_back", [5], [9])["bytes"] == 4 * 512
    check(pool, [(9, 5)])


@pytest.mark.parametrize("layers", [range(1, 3), slice(1, 3), (1, 3)])
def test_layers(pair, check, layers):
    _, pool, peer = pair
    assert peer.pull([1], [2], layers=layers).wait().layers == 2
    check(pool, [(1, 2)], layers=range(1, 3))


@pytest.mark.parametrize("layers", [range(0, 4, 2), slice(None, None, 2), range(3, 9), (2, 1)])
def test_layers_that_cannot_be(pair, layers):
    _, _, peer = pair
    with pytest.raises(kvferry.InvalidArgument, match="layers"):
        peer.pull([1], [2], layers=layers)


def test_prepared(pair, check):
    _, pool, peer = pair
    peer.prepare()
    step = peer.prepare_pull(numpy.array([5, 6]), [1, 0])
    for _ in range(3):
        for layer in range(4):
            numpy.asarray(pool.layer(layer, raw=True))[:] = 0
        step.post().wait()
        check(pool, [(5, 1), (6, 0)])


def test_options_reach_the_core(pair):
    server, _, peer = pair
    transfer = peer.pull([1], [1], notice="request 42", path="host_shm", deadline=30, max_sms=4)
    transfer.wait()
    notice = server.ask("notice")
    assert (notice["text"], notice["blocks"], notice["direction"]) == ("request 42", 1, "pull")
    with pytest.raises(kvferry.Refused, match="cuda_ipc"):
        peer.pull([1], [1], path="cuda_ipc")
    with pytest.raises(kvferry.InvalidArgument, match="'sideways'"):
        peer.pull([1], [1], copy="sideways")
    with pytest.raises(kvferry.InvalidArgument, match="on the host"):
        peer.pull([1], [1], stream="current")
    with pytest.raises(TypeError, match="unknown option 'deadine'"):
        peer.pull([1], [1], deadine=3)


def test_state_report_and_error(pair):
    _, _, peer = pair
    transfer = peer.pull(range(64), range(64))
    report = transfer.wait(timeout=10)
    assert transfer.done()
    assert transfer.state == "done"
    assert transfer.report._replace(total_s=0) == report._replace(total_s=0)
    assert transfer.error == ""
    assert transfer.status_word is None
    transfer.cancel()  # too late
    assert transfer.state == "done"


def test_a_deadline_that_has_passed(pair, check):
    _, pool, peer = pair
    transfer = peer.pull(range(64), range(64), deadline=0)
    with pytest.raises(kvferry.DeadlineExceeded, match="deadline"):
        transfer.wait()
    with pytest.raises(TimeoutError):
        transfer.wait()
    assert transfer.state == "deadline"
    assert transfer.error
    check(pool, [])


def test_a_closed_peer(pair):
    _, _, peer = pair
    with peer:
        assert peer.alive
        step = peer.prepare_pull([1], [1])
    assert not peer.alive
    with pytest.raises(kvferry.Unreachable):
        peer.pull([1], [1])
    with pytest.raises(kvferry.Error, match=r"no longer mapped|closed"):
        step.post()
    peer.close()


def test_a_revoked_pool_is_refused(serve, node):
    server = serve()
    node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
    peer = node.connect(server.address)
    peer.pull([1], [1]).wait()
    server.ask("revoke")
    with pytest.raises(kvferry.Refused):
        peer.pull([1], [1])


def test_which_pool(pair):
    _, pool, peer = pair
    other = kvferry.Pool.allocate(serving.SHAPE, 4, name="other")
    peer._node.add(other)
    with pytest.raises(kvferry.InvalidArgument, match="2 pools"):
        peer.pull([1], [1])
    with pytest.raises(kvferry.Refused, match="no pool 'other'"):
        peer.pull([1], [1], other)
    assert peer.pull([1], [1], other, remote_pool="kv").wait().bytes == 4 * 512
    assert peer.pull([1], [1], pool=pool).wait().bytes == 4 * 512


def test_who_is_there(pair):
    server, pool, peer = pair
    assert peer.name == f"server (pid {server.process.pid})"
    (remote,) = peer.pools
    assert remote.shape == pool.shape
    assert (remote.name, remote.blocks, remote.writable, remote.device) == ("kv", 64, False, "host")
    (explained,) = peer.explain()
    assert explained.chosen == "host_shm"
    assert all(verdict.reason for verdict in explained.verdicts)
    assert "server" in repr(peer)


def test_geometries_that_differ_are_refused_with_a_table(serve, node):
    server = serve()
    node.add(kvferry.Pool.allocate(kvferry.CacheShape(layers=3, kv_heads=2, head_dim=16, block_tokens=4), 8))
    with pytest.raises(kvferry.Refused, match=r"(?s)field.*layers.*3.*4"):
        node.connect(server.address)
