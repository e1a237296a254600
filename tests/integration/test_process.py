"""What the process may do: it drops root, its memory is hidden, and nothing secret is on its command line."""

import os
import pwd
import re
import subprocess

import pytest

from harness.proxy import Pgweir
from harness.wire import Wire

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
USER = "nobody"


@pytest.fixture
def launched(cluster):
    """launched(process={...}): a proxy whose directory that user may write in; started unless told otherwise."""
    running: list[Pgweir] = []

    def launch(*, start: bool = True, **sections) -> Pgweir:
        proxy = Pgweir(cluster.nodes, start=False, **sections)
        running.append(proxy)
        if os.geteuid() == 0:
            os.chown(proxy.directory, pwd.getpwnam(USER).pw_uid, -1)
        if start:
            proxy.start()
        return proxy

    yield launch
    for proxy in running:
        proxy.close()


def statuses(proxy) -> list[str]:
    """/proc/PID/status of each of its threads."""
    found = []
    for task in os.listdir(f"/proc/{proxy.pid}/task"):
        with open(f"/proc/{proxy.pid}/task/{task}/status") as status:
            found.append(status.read())
    return found


@needs_root
def test_root_is_dropped_by_all_threads_and_for_good(launched):
    proxy = launched(process={"user": USER}, workers=3)
    who = pwd.getpwnam(USER)
    proxy.wait_log(rf"\bruns_as\b.*\buser={USER}\b")
    found = statuses(proxy)
    assert len(found) >= 4
    for status in found:
        assert re.search(rf"^Uid:\s+{who.pw_uid}\s+{who.pw_uid}\s+{who.pw_uid}\s+{who.pw_uid}$", status, re.M)
        assert re.search(rf"^Gid:\s+{who.pw_gid}\s+{who.pw_gid}\s+{who.pw_gid}\s+{who.pw_gid}$", status, re.M)
        groups = set(map(int, re.search(r"^Groups:\s*(.*)$", status, re.M)[1].split()))
        assert groups == set(os.getgrouplist(USER, who.pw_gid))
        for kind in ("CapPrm", "CapEff"):  # and so no way back
            assert int(re.search(rf"^{kind}:\s*(\w+)$", status, re.M)[1], 16) == 0
    assert proxy.sql("SELECT 1") == [(1,)]
    socket = f"{proxy.directory}/.s.PGSQL.{proxy.port}"
    assert os.stat(socket).st_uid == who.pw_uid
    proxy.reload()
    proxy.wait_log(r"\breload_done\b")
    with Wire(proxy.port) as client:
        client.login()
        assert client.rows("SELECT 2") == [[b"2"]]


@needs_root
def test_a_privileged_port_is_bound_before(launched):
    proxy = launched(process={"user": USER}, port=883)
    assert proxy.sql("SELECT 1") == [(1,)]


@needs_root
def test_root_without_a_user_is_warned_of(launched):
    proxy = launched()
    proxy.wait_log(r"\bwarning runs_as_root\b")


@needs_root
def test_a_user_that_does_not_exist(launched):
    proxy = launched(start=False, process={"user": "nobody_of_that_name"})
    found = proxy.check()
    assert found.returncode == 1
    assert 'process.user: there is no system user "nobody_of_that_name"' in found.stdout


@needs_root
def test_only_root_can_become_somebody_else(launched):
    proxy = launched(start=False, process={"user": "daemon"})
    found = subprocess.run(["/usr/bin/setpriv", f"--reuid={USER}", "--clear-groups", "--", os.environ["PGWEIR_BINARY"], "--check", "-c",
                            str(proxy.config_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert found.returncode == 1
    assert 'pgweir is neither started by root nor by user "daemon"' in found.stdout


@needs_root
@pytest.mark.skipif(os.environ.get("PGWEIR_SANITIZE") == "address", reason="the leak checker traces its own process")
@pytest.mark.parametrize("allowed", [False, True])
def test_memory_is_hidden_unless_core_files_are_wanted(launched, allowed):
    proxy = launched(process={"user": USER, "core_dumps": allowed})
    # proc(5): the files of a process that is not "dumpable" belong to root.
    owner = os.stat(f"/proc/{proxy.pid}/environ").st_uid
    assert owner == (pwd.getpwnam(USER).pw_uid if allowed else 0)


def test_nothing_secret_is_on_the_command_line(launched):
    proxy = launched()
    with open(f"/proc/{proxy.pid}/cmdline", "rb") as line:
        assert line.read().split(b"\0")[1:-1] == [b"-c", str(proxy.config_path).encode()]
