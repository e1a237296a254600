"""pgweirctl against a running pgweir: what it prints, and how it ends."""

import csv
import io
import json
import os
import subprocess

import pytest

from harness.proxy import binary_path


@pytest.fixture(scope="module")
def console_proxy(cluster):
    from harness.proxy import Pgweir

    with Pgweir(cluster.nodes, admin={"users": "boss", "viewers": "looker"}) as running:
        running.wait_standby_read()
        yield running


def run(proxy, *words, user="boss", **environment):
    program = binary_path().parent / "ctl/pgweirctl"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG") or name.startswith("PGWEIR")}
    place = [] if environment else ["-h", proxy.host, "-p", str(proxy.port), "-U", user]
    return subprocess.run([program, *place, *words], capture_output=True, text=True, timeout=30, env=clean | environment)


def test_nodes_in_every_format(console_proxy, cluster):
    names = [node.name for node in cluster.nodes]
    plain = run(console_proxy, "nodes")
    assert plain.returncode == 0, plain.stderr
    lines = plain.stdout.splitlines()
    assert lines[0].split()[:2] == ["node_id", "name"]
    assert [line.split()[1] for line in lines[1:]] == names
    assert [row["name"] for row in json.loads(run(console_proxy, "nodes", "--format", "json").stdout)] == names
    assert [row["name"] for row in csv.DictReader(io.StringIO(run(console_proxy, "--format", "csv", "nodes").stdout))] == names


def test_a_standby_out_and_back(console_proxy, cluster):
    name = cluster.standbys[1].name
    assert "disabled" in run(console_proxy, "detach", name).stdout
    assert run(console_proxy, "attach", name).returncode == 0
    assert name in run(console_proxy, "events").stdout


def test_refusals_and_bad_connections(console_proxy, cluster):
    refused = run(console_proxy, "detach", cluster.primary.name)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("pgweirctl: 55000: ERROR:")
    assert run(console_proxy, "detach", "nobody").stderr.startswith("pgweirctl: 42704: ERROR:")
    assert run(console_proxy, "detach", "pg2", user="looker").stderr.startswith("pgweirctl: 42501: ERROR:")
    stranger = run(console_proxy, "nodes", user="stranger")
    assert stranger.returncode == 2 and "permission denied" in stranger.stderr
    assert run(console_proxy, "nodes", PGHOST=console_proxy.host, PGPORT="1", PGUSER="boss").returncode == 2
    assert run(console_proxy, "nothing").returncode > 100
    assert run(console_proxy, "detach").returncode > 100


def test_libpqs_environment(console_proxy):
    done = run(console_proxy, "failover", PGHOST=console_proxy.host, PGPORT=str(console_proxy.port), PGUSER="looker")
    assert done.returncode == 0, done.stderr
    assert "following" in done.stdout


def test_help_names_every_command(console_proxy):
    text = run(console_proxy, "--help").stdout
    for command in ("nodes", "events", "failover", "attach", "detach", "switchover", "believe"):
        assert command in text
