"""``python -m handful`` is ``handful``."""

from __future__ import annotations

from handful.cli.main import program

program()
