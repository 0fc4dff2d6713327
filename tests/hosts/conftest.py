"""Hosts of the tests' own, and kvferry on them."""

import subprocess

import pytest
from net import Network, reason_against
from world import BIN, World


def pytest_collection_modifyitems(items):
    reason = reason_against()
    for item in items if reason else []:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def network():
    built = Network()
    yield built
    built.remove()


@pytest.fixture
def world(network, tmp_path):
    usage = subprocess.run([BIN, "pull", "--help"], capture_output=True, text=True).stdout
    if "--token-file" not in usage:
        pytest.skip(f"{BIN} has no --token-file, without which no host lets in another")
    built = World(network, tmp_path)
    yield built
    built.close()
