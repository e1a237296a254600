"""Four workers and one pool: its size, its queue, and server connections that go where they are wanted.

A session never changes its worker, and new ones go to the worker with the fewest: see `seated`. The number that a client
is given as its process id names the worker.
"""

import contextlib
import random
import re
import selectors
import signal
import threading

import pytest

from harness import wire
from harness.waiting import wait_for
from harness.wire import SYNC, Closed, Wire, bind, close, execute, parse, query

SEED = 20261
WORKERS = 4
BITS_BELOW_WORKER = 24  # Worker::kCounterBits
SIZE = 3  # fewer than workers: at each moment there is one without a connection


@pytest.fixture(scope="module", autouse=True)
def schema(cluster):
    cluster.primary.sql("CREATE TABLE turns (number serial, client int);"
                        "CREATE SCHEMA one; CREATE TABLE one.place AS SELECT 1 AS n;"
                        "CREATE SCHEMA two; CREATE TABLE two.place AS SELECT 2 AS n;"
                        "GRANT USAGE ON SCHEMA one, two TO app;"
                        "GRANT ALL ON turns, turns_number_seq, one.place, two.place TO app")
    cluster.wait_replayed()


@pytest.fixture
def make_four(make_proxy):
    def make(size: int = SIZE, reads: str = "primary"):
        return make_proxy(workers=WORKERS, pool={"mode": "transaction", "size": size, "queue_timeout": "30s"},
                          routing={"reads": reads})
    return make


def worker_of(client: Wire) -> int:
    return client.pid >> BITS_BELOW_WORKER


def come_in(proxy, **login: str) -> Wire:
    client = Wire(proxy.port)
    got = client.login(**{"user": "app"} | login)[-1]
    assert got.kind == "Z", got.fields
    return client


@contextlib.contextmanager
def seated(proxy, *counts: int, **login: str):
    """Clients by worker, on each as many as asked for. Those that come on the way and are not needed stay, idle, so that
    the next one goes elsewhere."""
    found: list[list[Wire]] = [[] for _ in range(WORKERS)]
    with contextlib.ExitStack() as stack:
        while any(len(here) < wanted for here, wanted in zip(found, counts)):
            client = stack.enter_context(come_in(proxy, **login))
            found[worker_of(client)].append(client)
        yield [here[:wanted] for here, wanted in zip(found, counts)]


def everybody(clients: list[list[Wire]]) -> list[Wire]:
    """Of all workers, by turns."""
    return [here[n] for n in range(max(map(len, clients))) for here in clients if n < len(here)]


def backends(node, user: str = "app") -> list[int]:
    return [pid for pid, in node.sql("SELECT pid FROM pg_stat_activity WHERE usename = %s "
                                     "AND backend_type = 'client backend'", user)]


def server_of(client: Wire) -> int:
    return int(client.rows("SELECT pg_backend_pid()")[0][0])


def begin(client: Wire) -> int:
    """Holds a server connection until it commits; says which."""
    client.rows("BEGIN")
    return server_of(client)


class Turns:
    """Clients that ask again as soon as they have been answered. What each of them gets is counted in answers, not in
    seconds: of a queue it holds on any machine that nobody waits for much more than one turn of everybody."""

    def __init__(self, clients: list[Wire], statement: str):
        self.statement = query(statement)
        self.answers = 0
        self.of = {client: 0 for client in clients}
        self.longest = {client: 0 for client in clients}  # answers of others between a question and its answer
        self._asked: dict[Wire, int] = {}

    def ask(self, client: Wire, data: bytes | None = None) -> None:
        client.send(data or self.statement)
        self._asked[client] = self.answers

    def _take(self, client: Wire) -> None:
        found = client.read_until("Z")
        assert not [m for m in found if m.kind == "E"], found
        self.answers += 1
        self.of[client] += 1
        self.longest[client] = max(self.longest[client], self.answers - self._asked.pop(client) - 1)

    def run(self, total: int) -> None:
        """Until so many answers have come, and then until nobody waits any more."""
        for client in self.of:
            if client not in self._asked:
                self.ask(client)
        with selectors.DefaultSelector() as ready:
            for client in self.of:
                ready.register(client.socket, selectors.EVENT_READ, client)
            while self.answers < total:
                found = ready.select(timeout=60)
                assert found, "nobody is answered"
                for key, _ in found:
                    self._take(key.data)
                    self.ask(key.data)
        for client in list(self._asked):
            self._take(client)


# --- new clients -------------------------------------------------------------------------------------------------


def test_clients_that_come_all_at_once_are_shared_out(make_four):
    """They are accepted faster than the workers take them over."""
    proxy = make_four()
    wait_for(lambda: proxy.sql("SELECT 1"), "the first session")
    proxy.signal(signal.SIGSTOP)  # the kernel accepts meanwhile
    lines = []
    for _ in range(10 * WORKERS):
        line = Wire(proxy.port)
        line.send(wire.startup({"user": "app", "database": "test"}))
        lines.append(line)
    proxy.signal(signal.SIGCONT)
    counts = [0] * WORKERS
    for line in lines:
        key = line.read_until("K")[-1]
        counts[int.from_bytes(key.body[:4], "big") >> BITS_BELOW_WORKER] += 1
    for line in lines:
        line.socket.close()
    assert max(counts) - min(counts) <= 2, counts


# --- the size ----------------------------------------------------------------------------------------------------


def test_the_size_holds_over_all_workers(make_four, cluster):
    proxy = make_four()
    users = ("app", "traced")
    most, looks, stop = dict.fromkeys(users, 0), [0], threading.Event()

    def watch() -> None:
        with cluster.primary.connect() as own:
            while not stop.is_set():
                looks[0] += 1
                for user, count in own.execute("SELECT usename, count(*) FROM pg_stat_activity "
                                               "WHERE backend_type = 'client backend' GROUP BY usename"):
                    if user in most:
                        most[user] = max(most[user], count)

    watcher = threading.Thread(target=watch)
    with seated(proxy, 4, 4, 4, 4) as app, seated(proxy, 4, 4, 4, 4, user="traced") as traced:
        turns = Turns(everybody(app) + everybody(traced), "BEGIN; SELECT pg_sleep(0.001); COMMIT")
        watcher.start()
        try:
            turns.run(50 * len(turns.of))
        finally:
            stop.set()
            watcher.join()
    print(f"{looks[0]} looks, {most}")
    assert looks[0] > 20
    assert most == dict.fromkeys(users, SIZE)
    assert min(turns.of.values()) >= 25


# --- uneven load -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holders", ["the busy worker", "the others"])
def test_uneven_load_starves_nobody(make_four, holders):
    """Nearly all clients are on one worker. In the beginning all connections are on one side."""
    proxy = make_four()
    with seated(proxy, 24, 1, 1, 1) as clients:
        busy, lonely = clients[0], everybody(clients[1:])
        first = busy[:SIZE] if holders == "the busy worker" else lonely[:SIZE]
        turns = Turns(busy + lonely, "SELECT pg_sleep(0.002)")
        for client in first:
            begin(client)
        for client in busy + lonely:
            if client not in first:
                turns.ask(client)
        for client in first:
            turns.ask(client, query("COMMIT"))
        turns.run(30 * len(turns.of))
    print("answers:", sorted(turns.of.values()), "longest:", sorted(turns.longest.values()))
    assert min(turns.of.values()) >= 20, "somebody got too little"
    assert max(turns.longest.values()) <= 2 * len(turns.of), "somebody waited for too long"


def test_who_comes_back_after_a_rest_does_not_come_last(make_four):
    """A client on an idle worker that asks now and then waits for one turn of the others each time."""
    proxy = make_four(size=1)
    with seated(proxy, 12, 1) as (busy, (guest,)):
        turns = Turns(busy + [guest], "SELECT pg_sleep(0.001)")
        for _ in range(20):
            turns.run(turns.answers + 20)  # at the end of which all have been answered: nobody holds anything
        assert min(turns.of.values()) >= 20
        assert turns.longest[guest] <= 2 * len(turns.of)


# --- connections that move ---------------------------------------------------------------------------------------


def test_idle_connections_go_to_the_worker_that_needs_them(make_four, cluster):
    proxy = make_four(size=4)
    with seated(proxy, 4, 1, 4, 4) as clients:
        def all_to(worker: int) -> set[int]:
            found = {begin(client) for client in clients[worker][:4]}
            for client in clients[worker][:4]:
                client.rows("COMMIT")
            return found
        mine = all_to(0)
        assert len(mine) == 4
        # All of them are idle there now.
        assert server_of(clients[1][0]) in mine
        assert all_to(2) == mine
        assert all_to(3) == mine
        begun = [begin(client) for client in everybody([here[:1] for here in clients])]
        assert set(begun) == mine
        for client in everybody([here[:1] for here in clients]):
            client.rows("COMMIT")
        assert set(backends(cluster.primary)) == mine


def test_an_idle_connection_of_another_kind_makes_room_on_another_worker(make_four, cluster):
    """What can only be said at start-up needs a connection of its own."""
    proxy = make_four(size=2)
    special = {"options": "-c ignore_system_indexes=on"}
    with seated(proxy, 2, 2) as plain, seated(proxy, 0, 0, 2, 2, **special) as other:
        for _ in range(3):
            pids = [begin(client) for client in plain[0]]
            for client in plain[0]:
                client.rows("COMMIT")
            assert len(set(pids)) == 2
            more = [begin(other[2][0]), begin(other[3][0])]
            assert not set(more) & set(pids)
            assert other[3][0].rows("SHOW ignore_system_indexes") == [[b"on"]]
            for client in (other[2][0], other[3][0]):
                client.rows("COMMIT")
            assert plain[1][0].rows("SHOW ignore_system_indexes") == [[b"off"]]
            wait_for(lambda: len(backends(cluster.primary)) <= 2, "the pool to have its size")


class Claimant:
    """A client, and what must hold for it wherever it runs."""

    def __init__(self, number: int, client: Wire):
        self.number = number
        self.client = client
        self.timeout = 0
        self.schema = b""
        self.prepared: dict[str, int] = {}
        self.sql_prepared: int | None = None

    def answer(self, *parts: bytes) -> list[bytes | None]:
        found = self.client.ask(*parts)
        problems = [m.fields for m in found if m.kind == "E"]
        assert not problems, problems
        return [value for m in found if m.kind == "D" for value in m.values]

    def step(self, dice: random.Random) -> None:
        getattr(self, dice.choice(["set", "reset", "look", "look", "prepare", "run", "run", "forget", "prepare_sql",
                                   "run_sql", "run_sql"]))(dice)

    def set(self, dice: random.Random) -> None:
        self.timeout = dice.randrange(10_000, 10_000_000)
        self.schema = dice.choice([b"one", b"two"])
        self.answer(query(f"SET lock_timeout = {self.timeout}; SET search_path = {self.schema.decode()}"))

    def reset(self, dice: random.Random) -> None:
        self.timeout, self.schema = 0, b""
        self.answer(query("RESET ALL"))

    def look(self, dice: random.Random) -> None:
        found = self.answer(query("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'"))
        assert found == [str(self.timeout).encode()]
        if self.schema:
            assert self.answer(query("SELECT n FROM place")) == [b"1" if self.schema == b"one" else b"2"]
        else:
            assert self.answer(query("SHOW search_path")) == [b'"$user", public']

    def prepare(self, dice: random.Random) -> None:
        """A few texts that all share, under names that mean something else for each."""
        name, value = f"s{dice.randrange(3)}", dice.randrange(5)
        before = close("S", name) if name in self.prepared else b""
        self.answer(before, parse(f"SELECT $1::int + {value}", name), SYNC)
        self.prepared[name] = value

    def run(self, dice: random.Random) -> None:
        if not self.prepared:
            return
        name = dice.choice(sorted(self.prepared))
        found = self.answer(bind(statement=name, values=[b"%d" % self.number]), execute(), SYNC)
        assert found == [b"%d" % (self.number + self.prepared[name])]

    def forget(self, dice: random.Random) -> None:
        if self.prepared:
            name = dice.choice(sorted(self.prepared))
            del self.prepared[name]
            self.answer(close("S", name), SYNC)

    def prepare_sql(self, dice: random.Random) -> None:
        if self.sql_prepared is not None:
            self.answer(query("DEALLOCATE mine"))
        self.sql_prepared = dice.randrange(1000)
        self.answer(query(f"PREPARE mine AS SELECT {self.sql_prepared}, {self.number}"))

    def run_sql(self, dice: random.Random) -> None:
        if self.sql_prepared is not None:
            assert self.answer(query("EXECUTE mine")) == [b"%d" % self.sql_prepared, b"%d" % self.number]


def test_connections_move_with_what_they_have_been_told(make_four, cluster):
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    proxy = make_four(size=1)
    with seated(proxy, 2, 2, 2, 2) as clients:
        claimants = [Claimant(number, client) for number, client in enumerate(everybody(clients))]
        pid, = {server_of(one.client) for one in claimants}
        for _ in range(600):
            dice.choice(claimants).step(dice)
        assert {server_of(one.client) for one in claimants} == {pid}, "it did not move, it was replaced"
        assert backends(cluster.primary) == [pid]


def test_a_statement_is_not_prepared_again_because_it_runs_on_another_worker(make_four, cluster):
    proxy = make_four(size=1)
    text = "SELECT 1 + $1::int /* it moves */"
    told = {"user": "traced", "options": "-c log_min_duration_statement=0"}  # the server's log has each Parse

    def parsed() -> int:
        return len(re.findall(rf"ms  parse \S+: {re.escape(text)}", cluster.primary.log_path.read_text(errors="replace")))

    with seated(proxy, 2, 2, 2, 2, **told) as clients:
        for client in everybody(clients):
            client.ask(parse(text, f"of{client.pid}"), SYNC)
        before = parsed()
        for client in everybody(clients) * 3:
            found = client.ask(bind(statement=f"of{client.pid}", values=[b"1"]), execute(), SYNC)
            assert [m.values for m in found if m.kind == "D"] == [[b"2"]]
    assert 1 <= before == parsed()


# --- the queue ---------------------------------------------------------------------------------------------------


def test_the_queue_is_one_over_all_workers(make_four, cluster):
    """With one connection the order in which the server runs the statements is the order in which clients are served."""
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    proxy = make_four(size=1)
    with seated(proxy, 9, 9, 9, 9) as clients:
        witnesses = [here.pop() for here in clients]
        order = list(enumerate(everybody(clients)))
        for _ in range(3):
            dice.shuffle(order)
            holder = come_in(proxy)
            begin(holder)
            for number, client in order:
                client.send(query(f"INSERT INTO turns (client) SELECT {number} FROM pg_sleep({dice.uniform(0, 0.004)})"))
                # It waits in the queue before the next one asks: its worker has read on.
                witnesses[worker_of(client)].rows("SHOW pool_version")
            holder.rows("COMMIT")
            holder.socket.close()
            for _, client in order:
                assert client.read_until("Z")[0].kind == "C"
            served = [number for number, in cluster.primary.sql("SELECT client FROM turns ORDER BY number DESC LIMIT %s",
                                                                len(order))]
            assert served[::-1] == [number for number, _ in order]


# --- all at once -------------------------------------------------------------------------------------------------


LOST = {"57P01", "08006", "08003", "57P03", "57014", "40001", "08007"}  # what may be said to a client whose server is shot


class Guest(threading.Thread):
    """Comes, works, and leaves in some way, again and again. That a server is lost under it is no fault; to wait in vain
    is one, and so is a wrong answer."""

    def __init__(self, proxy, number: int, rounds: int):
        super().__init__(name=f"guest {number}")
        self.proxy, self.number, self.rounds = proxy, number, rounds
        self.dice = random.Random(SEED * 1000 + number)
        self.problems: list[str] = []
        self.answers = self.lost = 0

    def run(self) -> None:
        for _ in range(self.rounds):
            try:
                with Wire(self.proxy.port) as client:
                    got = client.login(user="app")[-1]
                    if got.kind == "Z":
                        self.stay(client)
                    else:
                        self.refused(got)
            except (Closed, ConnectionError):
                self.lost += 1
            except Exception as problem:  # a TimeoutError: it hung
                self.problems.append(f"{self.name}: {problem!r}")

    def refused(self, error: wire.Message) -> None:
        self.lost += 1
        if error.sqlstate not in LOST:
            self.problems.append(f"{self.name}: {error.fields}")

    def ask(self, client: Wire, *parts: bytes) -> list[bytes | None]:
        client.send(*parts)
        return self.take(client)

    def take(self, client: Wire) -> list[bytes | None]:
        found = client.read_until("Z")
        for error in (m for m in found if m.kind == "E"):
            self.refused(error)
            raise Closed("an error")
        self.answers += 1
        return [value for m in found if m.kind == "D" for value in m.values]

    def expect(self, got: list[bytes | None], wanted: list[bytes | None]) -> None:
        if got != wanted:
            self.problems.append(f"{self.name}: {got} instead of {wanted}")

    def stay(self, client: Wire) -> None:
        dice = self.dice
        mine = b"%d" % (10_000 + self.number)
        self.ask(client, query(f"SET lock_timeout = {mine.decode()}"))
        self.ask(client, parse("SELECT $1::int, setting FROM pg_settings WHERE name = 'lock_timeout'", "s"), SYNC)
        for _ in range(dice.randrange(1, 12)):
            what = dice.randrange(6)
            if what == 0:
                self.ask(client, query("BEGIN"))
                self.ask(client, query(f"SELECT pg_sleep({dice.uniform(0, 0.01)})"))
                if dice.random() < 0.2:
                    return  # without a word
                self.ask(client, query("COMMIT"))
            elif what == 1:
                self.expect(self.ask(client, query(f"SELECT {self.number}")), [b"%d" % self.number])
            elif what == 2:
                got = self.ask(client, query("SHOW lock_timeout"))
                self.expect(got, [mine + b"ms"] if int(mine) % 1000 else [mine[:-3] + b"s"])
            elif what == 3:
                count = dice.randrange(1, 6)
                client.send((bind(statement="s", values=[b"7"]) + execute() + SYNC) * count)
                for _ in range(count):
                    self.expect(self.take(client), [b"7", mine])
            elif what == 4:
                client.send(query("SELECT pg_sleep(0.01)"))
                with Wire(self.proxy.port) as other:
                    other.send(wire.cancel_request(client.pid, client.key))
                    if dice.random() < 0.5:
                        other.read_to_end()
                client.read_until("Z")
            else:
                self.ask(client, query("/* pgweir: primary */ SELECT count(*) FROM turns"))
        if dice.random() < 0.3:
            client.send(query("SELECT pg_sleep(0.01)"))  # and does not wait for the answer
        elif dice.random() < 0.5:
            client.send(wire.TERMINATE)


def reload_with(proxy, **sections) -> None:
    done = proxy.log().count("reload_done")
    proxy.write_config(**sections)
    proxy.reload()
    wait_for(lambda: proxy.log().count("reload_done") > done, "the reload")


def check_places(proxy, node, size: int) -> None:
    """All connections of that node's pool can be had at the same time, on all workers, and not one more."""
    there = f"/* pgweir: node={node.name} */ SELECT pg_backend_pid()"
    with seated(proxy, *[1 + size // WORKERS] * WORKERS) as clients:
        clients = everybody(clients)[:size + 1]
        for client in clients[:size]:
            client.rows("BEGIN READ ONLY")
            assert int(client.rows(there)[0][0]) in backends(node)
        found = next(m for m in clients[size].ask(query(there)) if m.kind in "DE")
        if found.kind == "E":
            assert found.sqlstate == "53300"
        else:
            assert int(found.values[0]) not in backends(node), "one more than the size"
        wait_for(lambda: len(backends(node)) == size, f"{size} connections to {node.name}")
        for client in clients[:size]:
            client.rows("COMMIT")


@pytest.mark.slow
def test_nobody_hangs_and_no_connection_is_lost(make_four, cluster):
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    proxy = make_four(size=4, reads="standbys")
    proxy.wait_standby_read()
    guests = [Guest(proxy, number, rounds=25) for number in range(16)]
    for guest in guests:
        guest.start()
    shots = reloads = 0
    while any(guest.is_alive() for guest in guests):
        node = dice.choice(cluster.nodes)
        if dice.random() < 0.5:
            shots += len(node.sql("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity "
                                  "WHERE usename = 'app' ORDER BY random() LIMIT 2) AS two"))
        else:
            reload_with(proxy, pool={"size": dice.randrange(2, 6), "min_idle": dice.choice([0, 2])})
            reloads += 1
        dice.choice(guests).join(0.02)
    answers, lost = sum(g.answers for g in guests), sum(g.lost for g in guests)
    print(f"{answers} answers, {lost} lost, {shots} backends terminated, {reloads} reloads")
    assert not (problems := [p for g in guests for p in g.problems]), problems[:5]
    assert answers > 1000 and shots > 0 and reloads > 0
    reload_with(proxy, pool={"size": 4, "min_idle": 0, "queue_timeout": "1s"})
    for node in reversed(cluster.nodes):
        check_places(proxy, node, 4)
