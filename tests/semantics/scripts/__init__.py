"""All scripts: importing this package enters them in script.SEMANTICS."""

from . import (carried, functions, pinned, prepared, set_config, set_in_transactions, settings,  # noqa: F401
               startup, transactions, wire_level)
