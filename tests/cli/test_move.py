"""pull and push between two processes, on host memory."""

import pytest
from conftest import LARGE, SMALL, kvferry

SIXTEEN = ["--input-tokens", "64"]


@pytest.mark.parametrize("fill", ["ones", "indexed"])
def test_a_pull_is_verified(start, fill):
    result = start.server(*SMALL, "--fill", fill).pull(*SMALL, *SIXTEEN)
    assert result.returncode == 0, result.stderr
    assert "verified  16 blocks x 4 layers, every byte; 5226 other blocks unchanged" in result.stdout
    assert "path      host_shm" in result.stdout


@pytest.mark.parametrize(
    "args, blocks",
    [
        (["--blocks", "scattered:1", "--into", "scattered:2"], 256),
        (["--blocks", "scattered", "--into", "same"], 256),
        (["--blocks", "0-7,12,40", "--into", "5241,0-8"], 10),
        (["--blocks", "first", "--into", "100-163"], 64),
        (["--blocks", "3"], 1),
        (["--blocks", "7,7", "--into", "1,2"], 2),
        (["--input-tokens", "20968"], 5242),
        (["--input-tokens", "1"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_any_blocks_into_any_blocks(start, args, blocks):
    result = start.server(*SMALL, "--fill", "indexed").pull(*SMALL, *args)
    assert result.returncode == 0, result.stderr
    assert f"verified  {blocks} block{'s' if blocks > 1 else ''} x 4 layers" in result.stdout


@pytest.mark.parametrize("layers", ["0:1", "1:3", "3:4", "0:4"])
def test_a_range_of_layers(start, layers):
    first, end = map(int, layers.split(":"))
    result = start.server(*SMALL, "--fill", "indexed").pull(
        *SMALL, *SIXTEEN, "--layer-range", layers, "--blocks", "scattered:5"
    )
    assert result.returncode == 0, result.stderr
    assert f"16 blocks x {end - first} layer{'s' if end - first > 1 else ''}, every byte" in result.stdout
    assert ("other" in result.stdout.split("unchanged")[1]) == (end - first < 4)


def test_every_transfer_of_a_count_is_printed(start):
    result = start.server(*LARGE, "--fill", "indexed").pull(*LARGE, "--count", "3", "--blocks", "scattered:1")
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("  #")]
    assert [line.split()[0] for line in lines] == ["#1", "#2", "#3"]
    assert all("160.0 MiB" in line and "GB/s" in line and "host_shm" in line for line in lines)
    assert "over 3 transfers" in result.stdout


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2", "int8"])
def test_every_dtype_and_an_odd_size(start, dtype):
    shape = ["--device", "host", "--layers", "3", "--heads", "3", "--dims", "7", "--block-size", "5"]
    shape += ["--kv", "1", "--dtype", dtype, "--available-memory", "0.001"]
    result = start.server(*shape, "--fill", "indexed").pull(*shape, "--blocks", "scattered:9", "--input-tokens", "99")
    assert result.returncode == 0, result.stderr


def test_pools_of_different_size(start):
    server = start.server(*SMALL, "--fill", "indexed")
    smaller = [*SMALL[:-1], "0.005"]
    assert server.pull(*smaller, "--blocks", "scattered:1", "--into", "scattered:2").returncode == 0
    result = server.pull(*smaller, "--blocks", "5000", "--into", "same")
    assert result.returncode == 2
    assert "local id 5000" in result.stderr
    larger = [*SMALL[:-1], "0.02"]
    result = server.pull(*larger, "--input-tokens", "40000")
    assert result.returncode == 2
    assert "needs 10000 blocks, the remote pool has 5242" in result.stderr


def test_the_unix_socket_alone(start):
    server = start.server(*SMALL)
    result = kvferry("pull", "--socket", server.socket, "--port", "1", *SMALL, *SIXTEEN)
    assert result.returncode == 0, result.stderr


def test_without_verification_it_says_so(start):
    result = start.server(*SMALL).pull(*SMALL, *SIXTEEN, "--no-verify")
    assert result.returncode == 0
    assert "verified  no: --no-verify" in result.stdout


def test_a_push_is_read_back(start):
    server = start.server(*SMALL, "--writable", "--fill", "indexed")
    result = server.push(*SMALL, *SIXTEEN, "--blocks", "scattered:3", "--into", "scattered:4", "--count", "3")
    assert result.returncode == 0, result.stderr
    assert "verified  16 blocks x 4 layers, pulled back, every byte" in result.stdout
    assert "5226 other remote blocks unchanged" in result.stdout
    again = server.push(*SMALL, *SIXTEEN, "--blocks", "0-15", "--layer-range", "1:3")
    assert again.returncode == 0, again.stderr
    assert "not checked: 16 other blocks had been written before" in again.stdout


def test_what_somebody_pushed_fails_a_pulls_verification(start):
    server = start.server(*SMALL, "--writable", "--fill", "indexed")
    assert server.push(*SMALL, "--blocks", "33", "--no-verify").returncode == 0
    result = server.pull(*SMALL, "--blocks", "30-39", "--into", "0-9")
    assert result.returncode == 1
    assert "from remote block 33" in result.stderr
    assert "layer 0" in result.stderr
    assert "; the server's pool is writable: blocks that somebody pushed into hold other bytes" in result.stderr
    assert server.pull(*SMALL, "--blocks", "34-39").returncode == 0


def test_the_clients_of_one_server_do_not_disturb_each_other(start):
    server = start.server(*SMALL, "--fill", "indexed")
    pulls = [
        start("pull", "--port", server.port, *SMALL, "--blocks", f"scattered:{i}", "--count", "5") for i in range(4)
    ]
    assert [pull.wait(120) for pull in pulls] == [0, 0, 0, 0]
    assert server.end() == 0
    assert "served 20 transfers (20 pulls, 0 pushes)" in server.text()
    assert "to 4 clients; refused 0" in server.text()


def test_explain_names_every_path(start):
    server = start.server(*SMALL)
    result = kvferry("explain", "--port", server.port, *SMALL)
    assert result.returncode == 0, result.stderr
    assert "host_shm   chosen" in result.stdout
    assert "cuda_ipc   no" in result.stdout
