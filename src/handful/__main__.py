"""``python -m handful`` is ``handful``."""

from __future__ import annotations

import sys

from handful.cli.main import main

sys.exit(main())
