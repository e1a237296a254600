"""Fixtures of the protocol suite: see README.md."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.fixtures import cluster, time_limit  # noqa: E402, F401
