"""A real OpenLDAP server on loopback, in a temporary directory, with two people in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import ports
from .cluster import make_temporary
from .waiting import wait_for

SLAPD = "/usr/sbin/slapd"
SUFFIX = "dc=example,dc=org"
ADMIN_DN = f"cn=admin,{SUFFIX}"
ADMIN_PASSWORD = "the admin's"

_PEOPLE = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: uid=app,ou=people,{SUFFIX}
objectClass: inetOrgPerson
uid: app
cn: app
sn: App
mail: app@example.org
userPassword: {{PASSWORD}}

dn: uid=twice,ou=people,{SUFFIX}
objectClass: inetOrgPerson
uid: twice
cn: one
sn: Twice
userPassword: {{PASSWORD}}

dn: cn=two,ou=people,{SUFFIX}
objectClass: inetOrgPerson
uid: twice
cn: two
sn: Twice
userPassword: {{PASSWORD}}
"""


def available() -> bool:
    return os.access(SLAPD, os.X_OK) and shutil.which("ldapadd") is not None


class Slapd:
    """`password` is everybody's. A context manager that leaves nothing behind."""

    def __init__(self, password: str):
        self.port = ports.take()
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.directory = make_temporary("pgweir-ldap-")
        self._password = password
        self._process: subprocess.Popen | None = None
        (self.directory / "data").mkdir()
        (self.directory / "slapd.conf").write_text(f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.directory}/slapd.pid
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{ADMIN_DN}" write by anonymous auth by * none
database mdb
maxsize 10485760
suffix "{SUFFIX}"
rootdn "{ADMIN_DN}"
rootpw "{ADMIN_PASSWORD}"
directory {self.directory}/data
""")

    def __enter__(self) -> Slapd:
        self._process = subprocess.Popen(
            ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", SLAPD, "-d", "0", "-h", self.uri + "/", "-f",
             str(self.directory / "slapd.conf")], stdin=subprocess.DEVNULL,
            stdout=(self.directory / "log").open("wb"), stderr=subprocess.STDOUT)
        ldif = _PEOPLE.replace("{PASSWORD}", self._password)

        def filled() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"slapd did not start:\n{(self.directory / 'log').read_text()}")
            done = subprocess.run(["ldapadd", "-x", "-H", self.uri, "-D", ADMIN_DN, "-w", ADMIN_PASSWORD], input=ldif,
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode not in (0, 255):  # 255: it cannot be reached yet
                raise RuntimeError(f"ldapadd: {done.stdout}")
            return done.returncode == 0
        try:
            wait_for(filled, "slapd to answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __exit__(self, *_) -> None:
        self.stop()
        ports.release(self.port)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._process.pid
