"""`./dev bench`: the same pgbench load directly, through PgBouncer and through pgweir, on one machine.

Shows what the proxy costs, not how fast PostgreSQL is: clients, proxies and servers share the cores. pgweir sends reads to
two standbys; the other two ways use the primary only. PgBouncer pools by session, as pgweir does.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from harness import ports
from harness.cluster import BIN, Cluster, as_server, make_temporary
from harness.proxy import Pgweir
from harness.waiting import wait_for


class PgBouncer:
    """In front of one node, in session mode."""

    def __init__(self, node, clients: int):
        self.host, self.port = "127.0.0.1", ports.take()
        self._directory = make_temporary("pgweir-b-")
        config = self._directory / "pgbouncer.ini"
        # With auth_type any, PgBouncer logs in as the user given here.
        config.write_text(f"[databases]\n* = host={node.host} port={node.port} user=postgres\n[pgbouncer]\n"
                          f"listen_addr = {self.host}\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
                          f"pool_mode = session\ndefault_pool_size = {clients}\nmax_client_conn = 1000\n"
                          "log_connections = 0\nlog_disconnections = 0\n")
        self._process = subprocess.Popen(as_server(["/usr/sbin/pgbouncer", "-q", config]), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)

        def answers() -> bool:
            return subprocess.run([BIN / "pg_isready", "-q", "-h", self.host, "-p", str(self.port)]).returncode == 0
        wait_for(answers, "PgBouncer to answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        ports.release(self.port)
        subprocess.run(["rm", "-rf", self._directory], check=True)


def pgbench(server, *options: str) -> str:
    done = subprocess.run([BIN / "pgbench", "-h", server.host, "-p", str(server.port), "-U", "postgres", *options, "test"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"pgbench {' '.join(options)} failed:\n{done.stdout}")
    return done.stdout


def measure(server, arguments, *options: str) -> str:
    text = pgbench(server, "-n", "-T", str(arguments.seconds), "-c", str(arguments.clients), "-j", "2", *options)
    tps = float(re.search(r"tps = ([\d.]+)", text)[1])
    latency = float(re.search(r"latency average = ([\d.]+) ms", text)[1])
    return f"{tps:10.0f} tps {latency:8.3f} ms"


LOADS = {
    "reads, simple": ["-S", "-M", "simple"], "reads, extended": ["-S", "-M", "extended"], "reads, prepared": ["-S", "-M", "prepared"],
    "mixed, simple": ["-M", "simple"], "mixed, prepared": ["-M", "prepared"], "reads, connecting each time": ["-S", "-C"],
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["PGWEIR_BINARY"] = str((arguments.build / "src/pgweir").resolve())
    with Cluster(standbys=2) as cluster:
        pgbench(cluster.primary, "-i", "-q", "-s", str(arguments.scale))
        cluster.wait_replayed()
        with PgBouncer(cluster.primary, arguments.clients) as bouncer, Pgweir(
                cluster.nodes, log={"level": "info", "connections": False}, pool={"size": arguments.clients + 2}, workers="auto") as pgweir:
            pgweir.wait_standby_read("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
            print(f"{os.cpu_count()} cores, {arguments.clients} clients, {arguments.seconds} s each, scale {arguments.scale}")
            for name, options in LOADS.items():
                print(name, flush=True)
                for way, server in (("direct", cluster.primary), ("PgBouncer", bouncer), ("pgweir", pgweir)):
                    print(f"  {way:10} {measure(server, arguments, *options)}", flush=True)
            print("reads by node: " + ", ".join(f"{name} {count}" for name, count in pgweir.reads().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
