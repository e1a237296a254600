"""The matrix of logins: what is tried, and what has to come of it, written from the documentation alone.

Nothing here knows pgweir's code. Sources: docs/config.md (`tls.client.mode`, `auth.allow_cleartext`), docs/security.md
(methods), PostgreSQL's chapters "Client Authentication" and "libpq - SSL Support" (what sslmode and channel_binding mean).
"""

from __future__ import annotations

import itertools
import random
import zlib
from dataclasses import dataclass

MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

# The name of the user says by which method. No line for `cert` without TLS, nor for `peer` over TCP.
HBA = """\
local    test  postgres             trust
local    all   /^mx_trust_          trust
host     all   /^mx_trust_     all  trust
local    all   /^mx_reject_         reject
host     all   /^mx_reject_    all  reject
local    all   /^mx_password_       password
host     all   /^mx_password_  all  password
local    all   /^mx_md5_            md5
host     all   /^mx_md5_       all  md5
local    all   /^mx_scram_          scram-sha-256
host     all   /^mx_scram_     all  scram-sha-256
hostssl  all   /^mx_cert_      all  cert
local    all   /^mx_peer_           peer map=outside
"""
METHODS = ["trust", "reject", "password", "md5", "scram", "cert", "peer"]
ASKS = {"password", "md5", "scram"}  # for a secret

# By what stands in the users file: a verifier, an MD5 hash, the password, nothing. Nobody is no role of the servers either.
# Of one length, so that the sizes of messages can be compared.
VERIFIER, HASHED, PLAIN, NOBODY = USERS = ["proven", "hashed", "openly", "nobody"]
PEERS = {VERIFIER, NOBODY}  # whom the ident map lets the system's user be


def name_of(method: str, user: str) -> str:
    return f"mx_{method}_{user}"


@dataclass(frozen=True)
class Attempt:
    """One login. `sslmode`: None for the Unix socket."""
    mode: str  # tls.client.mode
    method: str
    user: str
    secret: str = "wrong"  # right, wrong, none
    sslmode: str | None = "prefer"
    binding: str = "prefer"  # disable, prefer, require
    certificate: str = "none"  # good, other (another name), stranger (another authority), revoked
    direct: bool = False
    root: str = "right"  # whom the client believes: right, stranger

    @property
    def login(self) -> str:
        """The name of the user in full."""
        return name_of(self.method, self.user)


# What refuses, and the words that tell so; `{user}` is filled in.
SAYS = {
    "no TLS there": "server does not support SSL",
    "handshake": r"SSL error|SSL routines|SSL SYSCALL|alert|closed the connection|terminated|ECONNRESET|[Cc]onnection reset|socket hang up",
    "the client disbelieves": "certificate verify failed|self.signed certificate|unable to (get|verify)",
    "needs TLS": "connection requires TLS",
    "no certificate": "connection requires a valid client certificate",
    "another name": 'certificate authentication failed for user "{user}"',
    "no line": "no pg_hba.conf entry for host",
    "reject": "pg_hba.conf rejects connection for host",
    "clear text": "passwords are not sent in clear text over an unencrypted connection",
    "wrong secret": 'password authentication failed for user "{user}"',
    "peer": 'Peer authentication failed for user "{user}"',
    "no role": 'role "{user}" does not exist',
    "no binding": "channel binding",
    "no secret": "no password supplied|password must be a string",
}
# After these a client that may try with or without TLS does so: a refusal by the server before it has authenticated anybody.
TRIED_AGAIN = {"needs TLS", "no certificate", "another name", "no line", "reject", "clear text", "wrong secret", "peer"}
SQLSTATE = {"wrong secret": "28P01"} | {reason: "28000" for reason in TRIED_AGAIN - {"wrong secret"} | {"no role"}}


def _login(a: Attempt, tls: bool) -> str:
    """What comes of the login once the client has connected, with TLS or without: "in" or a key of SAYS."""
    local = a.sslmode is None
    if tls:
        if a.certificate in ("stranger", "revoked"):
            return "handshake"
        if a.mode.startswith("verify") and a.certificate == "none":
            return "handshake"
        if a.mode == "verify-full" and a.certificate != "good":
            return "another name"
    elif not local and a.mode in ("require", "verify-ca", "verify-full"):
        return "needs TLS"
    if (a.method == "cert" and not tls) or (a.method == "peer" and not local):
        return "no line"
    if a.method == "reject":
        return "reject"
    if a.method == "cert" and a.certificate != "good":
        return "no certificate" if a.certificate == "none" else "another name"
    if a.method == "peer" and a.user not in PEERS:
        return "peer"
    if a.method == "password" and not local and not tls:
        return "clear text"
    by_scram = a.method == "scram" or (a.method == "md5" and a.user != HASHED)
    if a.binding == "require" and not (by_scram and tls):
        return "no binding"
    if a.method in ASKS:
        if a.secret == "none":
            return "no secret"
        if a.secret == "wrong" or a.user == NOBODY or (a.method == "scram" and a.user == HASHED):
            return "wrong secret"
    return "no role" if a.user == NOBODY else "in"


def expected(a: Attempt) -> list[tuple[bool, str]]:
    """One (TLS, result) per try of the client; the last one is the verdict."""
    offered = a.mode != "disable"
    tries = {None: [False], "disable": [False], "allow": [False, True], "prefer": [True, False]}.get(a.sslmode, [True])
    results = []
    for wanted in tries:
        tls = wanted and offered
        if wanted and not offered and (a.sslmode not in ("allow", "prefer")):
            result = "handshake" if a.direct else "no TLS there"
        elif tls and a.sslmode.startswith("verify") and a.root == "stranger":
            result = "the client disbelieves"
        else:
            result = _login(a, tls)
        results.append((tls, result))
        if result not in TRIED_AGAIN:
            break
    return results


# --- what is tried ---------------------------------------------------------------------------------------------------


def _certificate(mode: str) -> str:
    """What a client has to show where it is not about certificates."""
    return "good" if mode.startswith("verify") else "none"


def logins(mode: str) -> list[Attempt]:
    """Everything that libpq can try with a proxy of this mode, without what makes no difference: secrets that nobody asks for,
    certificates without TLS."""
    found = []
    for method, user, sslmode in itertools.product(METHODS, USERS, [None, *MODES]):
        for secret in ("right", "wrong", "none") if method in ASKS else ("wrong",):
            found.append(Attempt(mode, method, user, secret, sslmode, certificate=_certificate(mode)))
    for method, user, secret, sslmode, binding in itertools.product(
            ("trust", "password", "md5", "scram", "cert", "peer"), (VERIFIER, HASHED, NOBODY), ("right", "wrong"),
            (None, "disable", "require"), ("disable", "require")):
        if (secret == "right" or method in ASKS) and (user != HASHED or method == "md5"):
            found.append(Attempt(mode, method, user, secret, sslmode, binding, _certificate(mode)))
    for method, user, sslmode, certificate in itertools.product(
            ("trust", "reject", "password", "scram", "cert"), (VERIFIER, NOBODY), ("disable", "require", "verify-full"),
            ("none", "good", "other", "stranger", "revoked")):
        found.append(Attempt(mode, method, user, "right", sslmode, certificate=certificate))
    for method, sslmode, root in itertools.product(("trust", "scram"), ("verify-ca", "verify-full"), ("right", "stranger")):
        found.append(Attempt(mode, method, VERIFIER, "right", sslmode, certificate=_certificate(mode), root=root))
    return sorted(set(found) | set(_anything(mode)), key=repr)


SEED, SAMPLE = 20261129, 400


def _anything(mode: str) -> list[Attempt]:
    """Some of all that could be combined. What libpq does after a handshake that failed is its own affair, so clients that
    would go on without TLS show no bad certificates."""
    whole = [Attempt(mode, *one) for one in itertools.product(
        METHODS, USERS, ("right", "wrong", "none"), [None, *MODES], ("disable", "prefer", "require"),
        ("none", "good", "other", "stranger", "revoked"), (False,), ("right", "stranger"))]
    return random.Random(f"{SEED} {mode}").sample(
        [a for a in whole if a.sslmode not in ("allow", "prefer") or a.certificate in ("none", "good", "other")], SAMPLE)


def direct_logins(mode: str) -> list[Attempt]:
    """With sslnegotiation=direct, which wants TLS."""
    found = [Attempt(mode, method, user, secret, sslmode, binding, certificate, direct=True)
             for method, user, secret, sslmode, binding, certificate in itertools.product(
                 ("trust", "password", "md5", "scram", "cert"), (VERIFIER, HASHED, NOBODY), ("right", "wrong"),
                 ("require", "verify-full"), ("disable", "require"), ("none", "good"))
             if secret == "right" or method in ASKS]
    return [a for a in found if a.certificate == _certificate(mode) or (a.method in ("cert", "trust"))]


def node_logins(mode: str) -> list[Attempt]:
    """For node-postgres: no TLS, TLS, TLS with a certificate that is checked, direct TLS. It may bind, it cannot insist."""
    found = []
    for method, user, secret, way, binding in itertools.product(
            METHODS, USERS, ("right", "wrong", "none"),
            ((None, False), ("disable", False), ("require", False), ("verify-full", False), ("require", True)), ("disable", "prefer")):
        if method not in ASKS and (secret, binding) != ("wrong", "disable"):
            continue
        if user == HASHED and method == "scram" or user == PLAIN and method != "md5":
            continue
        if secret == "none" and method != "scram":
            continue
        if binding == "prefer" and (method in ("password",) or secret == "none"):
            continue
        found.append(Attempt(mode, method, user, secret, way[0], binding, _certificate(mode), direct=way[1]))
    found += [Attempt(mode, method, VERIFIER, "right", "require", "disable", certificate)
              for method, certificate in itertools.product(("cert", "scram"), ("none", "good", "other", "stranger", "revoked"))]
    return sorted(set(found), key=repr)


def pairs_of(a: Attempt) -> set:
    properties = [*vars(a).items(), ("verdict", expected(a)[-1][1])]
    return set(itertools.combinations(properties, 2))


def covering(attempts: list[Attempt]) -> list[Attempt]:
    """A part of them in which every pair of values of two properties that occurs at all still occurs; the verdict is one."""
    kept, seen = [], set()
    for a in sorted(attempts, key=hash_of):
        pairs = pairs_of(a)
        if not pairs <= seen:
            seen |= pairs
            kept.append(a)
    return kept


def hash_of(a: Attempt) -> int:
    """An order without meaning that is the same in each run."""
    return zlib.crc32(repr(a).encode())

