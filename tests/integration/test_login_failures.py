"""auth.failure_delay: guessing passwords is slow, from one address and over many connections; others do not notice."""

import threading
import time

import pytest

from harness import wire
from harness.proxy import scram_verifier
from harness.waiting import wait_for
from harness.wire import Wire

SECRET = "correct horse"
ATTACKER = "127.0.0.9"


@pytest.fixture
def guarded(make_proxy):
    proxy = make_proxy(start=False)
    users = "".join(f'"{user}" "{scram_verifier(SECRET)}"\n' for user in ("postgres", "app"))
    proxy.write_config(auth={"method": "scram-sha-256", "users_file": proxy.write_file("users.txt", users),
                             "failure_delay": "500ms", "login_timeout": "5s"}, pool={"max_clients": 30})
    proxy.login["password"] = SECRET
    proxy.start()
    return proxy


def attempt(proxy, user: str, password: str, source: str = "127.0.0.1") -> tuple[str, float]:
    """The SQLSTATE (or Z: let in, or empty: closed without a word), and how long it took, in seconds."""
    began = time.monotonic()
    try:
        with Wire(proxy.port, source=source) as client:
            found = client.login(password, user=user)[-1]
    except wire.Closed:
        return "", time.monotonic() - began
    return found.sqlstate if found.kind == "E" else found.kind, time.monotonic() - began


@pytest.mark.parametrize("user", ["app", "nobody"])
def test_a_failure_is_answered_later(guarded, user):
    code, took = attempt(guarded, user, "wrong")
    assert code == "28P01" and took >= 0.5
    assert attempt(guarded, "app", SECRET)[0] == "Z"


def test_the_right_password_is_answered_at_once(guarded):
    assert min(attempt(guarded, "app", SECRET)[1] for _ in range(5)) < 0.3


class Attack:
    """Many connections that guess at once, for as long as it lasts."""

    def __init__(self, proxy, user: str, threads: int = 20):
        self.proxy, self.user = proxy, user
        self.codes: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                code, _ = attempt(self.proxy, self.user, "wrong", ATTACKER)
            except (ConnectionError, TimeoutError, OSError):
                code = "?"
            self.codes.append(code)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_an_attacker_does_not_slow_others(guarded):
    with Attack(guarded, "app") as attack:
        wait_for(lambda: len(attack.codes) > 25, "the attack to be under way", timeout=20)
        took = sorted(attempt(guarded, "app", SECRET)[1] for _ in range(20))
        codes = {attempt(guarded, "app", SECRET)[0] for _ in range(5)}
    assert codes == {"Z"}
    assert took[10] < 0.3
    assert set(attack.codes) <= {"28P01", "", "?", "53300"} and "28P01" in attack.codes


def test_many_connections_guess_no_faster_than_one(guarded):
    """Even the right password waits for its turn, so that it cannot be told from wrong ones by its time."""
    with Attack(guarded, "app") as attack:
        wait_for(lambda: len(attack.codes) > 25, "the attack to be under way", timeout=20)
        checked = guarded.log().count('reason="the password is wrong"')
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 3, "three seconds of attack", timeout=10)
        checked = guarded.log().count('reason="the password is wrong"') - checked
        took = time.monotonic() - began
        assert checked <= took / 0.5 + 2
        code, waited = attempt(guarded, "app", SECRET, ATTACKER)
        assert code != "Z" or waited >= 0.5


def test_one_application_with_a_wrong_password_does_not_stop_the_others_of_its_host(guarded):
    """All come from one address, as with pgweir on the application's own host."""
    assert attempt(guarded, "postgres", SECRET)[0] == "Z"
    for _ in range(8):
        thread = threading.Thread(target=attempt, args=(guarded, "app", "wrong"))
        thread.start()
    wait_for(lambda: guarded.log().count("login_failed") >= 7, "the failures")
    code, took = attempt(guarded, "postgres", SECRET)
    assert code == "Z" and took < 0.4


def test_those_who_wait_for_their_answer_take_no_place(guarded):
    """max_clients is 30: those who wait for their turn, or whose answer is held back, do not count."""
    failed = [threading.Thread(target=attempt, args=(guarded, "app", "wrong", ATTACKER)) for _ in range(28)]
    for thread in failed:
        thread.start()
    # Some are checked, ten wait for their turn, and the others are refused unseen.
    wait_for(lambda: guarded.log().count("login_failed") >= 15, "the guesses to be there")
    held = [guarded.connect(user="app") for _ in range(20)]
    for session in held:
        session.close()
    for thread in failed:
        thread.join()
