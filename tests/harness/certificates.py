"""Certificates for tests, made by the `openssl` command: authorities, what they sign, and what they have revoked.

Each authority keeps its files in one directory; names of certificates are file names there.
"""

from __future__ import annotations

import atexit
import datetime
import functools
import os
import shutil
import subprocess
from pathlib import Path

from . import network
from .cluster import make_temporary, server_user

EVERYWHERE = "PGWEIR_TEST_TLS"  # set: every server, proxy and client of the tests uses TLS where it can

_CONF = """\
[ca]
default_ca = own
[own]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir
serial = $dir/serial
crlnumber = $dir/crlnumber
certificate = $dir/ca.crt
private_key = $dir/ca.key
default_md = sha256
default_crl_days = 30
policy = anything
unique_subject = no
copy_extensions = copy
[anything]
organizationName = optional
commonName = optional
[req]
distinguished_name = name
[name]
[v3_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
"""


def _openssl(*words, **more) -> None:
    done = subprocess.run(["openssl", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    assert done.returncode == 0, done.stdout


def _date(days: float) -> str:
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A root certificate of its own. A context manager that removes its directory."""

    def __init__(self, name: str = "pgweir test root"):
        self.directory = make_temporary("pgweir-c-")
        self._conf = self.directory / "ca.conf"
        self._conf.write_text(_CONF.format(directory=self.directory))
        (self.directory / "index.txt").touch()
        for counter in ("serial", "crlnumber"):
            (self.directory / counter).write_text("01\n")
        self.file = self.directory / "ca.crt"
        self._key(self.directory / "ca.key")
        _openssl("req", "-new", "-x509", "-config", self._conf, "-extensions", "v3_ca", "-key", self.directory / "ca.key",
                 "-subj", f"/CN={name}", "-days", 30, "-out", self.file)

    def __enter__(self) -> Authority:
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _key(path: Path) -> None:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        path.chmod(0o600)

    def issue(self, name: str, subject: str, *, names: str = "", days: tuple[float, float] = (-1, 30),
              passphrase: str | None = None) -> tuple[Path, Path]:
        """Certificate and key. `names`: alternative ones, as OpenSSL writes them ("DNS:localhost,IP:127.0.0.1")."""
        certificate, key, request = (self.directory / f"{name}.{end}" for end in ("crt", "key", "csr"))
        self._key(key)
        more = ["-addext", f"subjectAltName={names}"] if names else []
        _openssl("req", "-new", "-config", self._conf, "-key", key, "-subj", subject, *more, "-out", request)
        _openssl("ca", "-batch", "-config", self._conf, "-notext", "-in", request, "-out", certificate, "-startdate",
                 _date(days[0]), "-enddate", _date(days[1]))
        if passphrase is not None:
            locked = key.with_suffix(".locked")
            _openssl("pkey", "-in", key, "-aes128", "-passout", f"pass:{passphrase}", "-out", locked)
            locked.chmod(0o600)
            locked.rename(key)
        return certificate, key

    def revoke(self, *certificates: Path) -> Path:
        """The list of all that was revoked so far, with these."""
        for certificate in certificates:
            _openssl("ca", "-config", self._conf, "-revoke", certificate)
        crl = self.directory / "ca.crl"
        _openssl("ca", "-config", self._conf, "-gencrl", "-out", crl)
        return crl

    def for_servers(self, *files: Path) -> list[Path]:
        """Copies that the user of the PostgreSQL servers owns, as PostgreSQL wants its key."""
        copies = []
        for file in files:
            copy = file.with_name("server-owned-" + file.name)
            shutil.copy(file, copy)
            copy.chmod(0o600)
            if user := server_user():
                shutil.chown(copy, user)
            copies.append(copy)
        return copies


# --- TLS everywhere --------------------------------------------------------------------------------------------------


def everywhere() -> bool:
    return bool(os.environ.get(EVERYWHERE))


@functools.cache
def of_this_process() -> tuple[Authority, tuple[Path, Path], tuple[Path, Path]]:
    """An authority, and a certificate for loopback with its key: for proxies, and for servers."""
    authority = Authority()
    atexit.register(authority.__exit__)
    names = ",".join(["DNS:localhost", "IP:127.0.0.1", *(f"IP:{address}" for address in network.addresses(4))])
    files = authority.issue("everybody", "/CN=localhost", names=names)
    return authority, files, tuple(authority.for_servers(*files))


def server_settings() -> str:
    """For postgresql.conf."""
    certificate, key = of_this_process()[2]
    return f"ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n"


def proxy_settings() -> dict:
    """The section `tls` of a proxy that takes nothing else."""
    authority, (certificate, key), _ = of_this_process()
    return {"client": {"mode": "prefer", "cert_file": str(certificate), "key_file": str(key)},
            "server": {"mode": "verify-full", "ca_file": str(authority.file)}}
