"""Random HBA files, and the connections that are tried with each. The same seed gives the same."""

from __future__ import annotations

import random
from dataclasses import dataclass

PASSWORD = "correct horse"

# name, options of CREATE ROLE, members. Whoever is not here does not exist.
ROLES = [
    ("alice", "LOGIN", []), ("bob", "LOGIN", []), ("carol", "LOGIN", []), ("dave", "LOGIN", []), ("boss", "LOGIN SUPERUSER", []),
    ("all", "LOGIN", []), ("weird, name", "LOGIN", []), ("crew", "NOLOGIN", ["carol", "weird, name"]),
    ("staff", "NOLOGIN", ["alice", "crew"]), ("replication", "LOGIN", []),
]
MD5_ROLES = ("bob", "weird, name")  # the others with a password have a SCRAM verifier
WITHOUT_PASSWORD = ("dave",)

USERS = ["alice", "bob", "carol", "dave", "boss", "all", "weird, name", "replication", "nobody"]
DATABASES = ["test", "alice", "staff", "carol", "all", "my db", "replication"]
SOURCES = ["local", "127.0.0.1", "127.0.0.2", "127.200.0.9", "::1"]

# Files beside the HBA file that its @words name.
WORD_FILES = {"dbs.txt": "test, \"my db\" # and no more\nsamerole\n", "users.txt": "bob\n+crew carol\n", "none.txt": "# nothing\n"}
INCLUDED = {"more.conf": "hostnossl staff all samehost trust\n", "parts/1.conf": "local alice alice trust\n",
            "parts/2.conf": "host test @../users.txt all reject\n", "parts/other": "host all all all trust\n"}


def ident_map(system_user: str) -> str:
    return f"""# maps of {system_user}
m1 {system_user} alice
m1 {system_user} "weird, name"
m2 /^{system_user[0]}(.*)$ alice
m2 /^(.*)$ \\1
m3 /^x(.*)$ boss
m3 nobody boss
"""


@dataclass(frozen=True)
class Attempt:
    """One connection."""
    source: str  # an address, or local
    user: str
    database: str
    replication: str = ""
    right: bool = True  # whether the password is

    @property
    def parameters(self) -> dict[str, str]:
        more = {"replication": self.replication} if self.replication else {}
        return {"user": self.user, "database": self.database} | more

    @property
    def password(self) -> str:
        return PASSWORD if self.right else "wrong"


def attempts(choose: random.Random, count: int, sources: list[str], system_user: str) -> list[Attempt]:
    def one() -> Attempt:
        replication = choose.choice(["true", "database", "on", "off", "F"]) if choose.random() < 0.15 else ""
        # Half of the time a database of the user's own name, or of a role.
        user = choose.choice(USERS + [system_user])
        database = user if choose.random() < 0.15 else choose.choice(DATABASES)
        return Attempt(choose.choice(sources), user, database, replication, choose.random() < 0.7)
    return [one() for _ in range(count)]


class Maker:
    """Makes HBA files out of one stream of random numbers."""

    def __init__(self, choose: random.Random, *, expressions: bool):
        """`expressions`: with what came with PostgreSQL 16, regular expressions and includes."""
        self._choose = choose
        self._expressions = expressions

    def _words(self, words: list[str], most: int) -> str:
        chosen = [self._choose.choice(words) for _ in range(self._choose.choice([1] * 4 + list(range(1, most + 1))))]
        return self._choose.choice([",", ",", ", ", ",\t"]).join(chosen)

    def _databases(self) -> str:
        words = ["all"] * 9 + ["test", "alice", "staff", "sameuser", "samerole", "samegroup", "replication", '"all"', '"my db"',
                               "@dbs.txt", "nosuch", '"sameuser"', '"replication"', "tes", '"test"']
        if self._expressions:
            words += ["/^te", '"/^(test|alice)$"', "/s", '"/^my, db"']
        return self._words(words, 4)

    def _users(self) -> str:
        words = ["all"] * 9 + ["alice", "bob", "carol", "dave", "boss", "+staff", "+crew", '"+staff"', "+nosuch", "+alice",
                               '"weird, name"', "@users.txt", '"all"', '+"staff"', "+boss", "nobody"]
        if self._expressions:
            words += ["/^a", '"/^(bob|carol)$"', "/o", '"/, n"']
        return self._words(words, 4)

    def _address(self) -> str:
        return self._choose.choice([
            "all", "all", "all", "all", "samehost", "samenet", "127.0.0.0/8", "127.0.0.1/32", "127.0.0.0/8", "127.0.0.2 255.255.255.255", "127.0.0.0 255.0.0.0",
            "0.0.0.0/0", "::1/128", "::/0", "::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "10.0.0.0/8", "127.0.0.2/31", '"127.0.0.1/32"',
            "0.0.0.9 0.0.0.255", "127.200.0.0/13", "::ffff:127.0.0.1/128", "127.0.0.1/0", "127.1/32"])

    def line(self) -> str:
        kind = self._choose.choice(["local"] * 3 + ["host"] * 6 + ["hostssl", "hostnossl", "hostnogssenc", "hostgssenc"])
        fields = [kind, self._databases(), self._users()]
        methods = ["trust"] * 3 + ["reject"] * 2 + ["md5", "scram-sha-256", "scram-sha-256", "password"]
        if kind == "local":
            methods += ["peer", "peer map=m1", "peer map=m2", "peer map=m3", "peer map=none", "ident", 'peer "map=m1"']
        else:
            fields.append(self._address())
        if kind == "hostssl":
            methods += ["cert", "cert map=m1", "trust clientcert=verify-ca", "md5 clientcert=verify-full clientname=DN"]
        fields.append(self._choose.choice(methods))
        text = self._choose.choice([" ", "\t", "   ", " \t "]).join(fields)
        return text + self._choose.choice([""] * 6 + [" # why", "#why", " ", "\r", " \\\n", " # \\\n more of why"])

    def file(self) -> str:
        lines = [self.line() for _ in range(self._choose.randint(1, 8))]
        for extra in ("", "# local all all trust", "\t"):
            if self._choose.random() < 0.2:
                lines.insert(self._choose.randrange(len(lines) + 1), extra)
        if self._expressions and self._choose.random() < 0.3:
            lines.insert(self._choose.randrange(len(lines) + 1),
                         self._choose.choice(["include more.conf", "include_dir parts", "include_if_exists gone", "include \"more.conf\""]))
        return "\n".join(lines) + self._choose.choice(["\n", "\n", ""])

    _BAD_LINES = [
        "local", "local all", "local all all", "host all all", "host all all 10.0.0.1", "host all all all", "tcp all all all trust",
        "local all all scram", "local all all trust,md5", "local,host all all trust", "host all all 10.0.0.0/33 trust",
        "host all all ::/129 trust", "host all all 10.0.0.0/x trust", "host all all 10.0.0.0/ trust", "host all all 10.0.0.0 ffff:: trust",
        "host all all 10.0.0.0/8,10.1.0.0/16 trust", "host all all all peer", "host all all all cert", "local all all trust x",
        "local all all trust x=y", "host all all all md5 map=m", "host all all all md5 clientcert=verify-ca",
        "hostssl all all all cert clientcert=verify-ca", "hostssl all all all md5 clientcert=1", "hostssl all all all cert clientname=dn",
        "local @gone.txt all trust", "local all @none.txt trust", "HOST all all all trust", "local all all TRUST", '"local all all trust"',
        "host all all all ldap", "host all all all ldap ldapserver=x", "host all all all ldap ldapserver=x ldapprefix=a ldapbasedn=b",
        "host all all all md5 pamservice=x", "include gone.conf x", "hostssl all all all md5 clientname=OU",
    ]

    def malformed(self) -> str:
        """A file that is likely, but not certain, to be refused."""
        text = "\n".join(self.line() for _ in range(self._choose.randint(1, 3))) + "\n"
        how = self._choose.randrange(4)
        if how == 0:
            lines = text.split("\n")
            lines.insert(self._choose.randrange(len(lines)), self._choose.choice(self._BAD_LINES))
            return "\n".join(lines)
        if how == 1:
            return text[:self._choose.randrange(len(text))]
        for _ in range(self._choose.randint(1, 2)):
            at = self._choose.randrange(len(text) + 1)
            text = text[:at] + self._choose.choice('"",##\\@+ \t\n=') + text[at:]
        return text
