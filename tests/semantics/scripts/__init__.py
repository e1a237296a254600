"""All scripts: importing this package enters them in script.SEMANTICS."""

from . import carried, functions, pinned, prepared, settings, transactions, wire_level  # noqa: F401
