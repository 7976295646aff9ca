"""``python -m handful`` is ``handful``."""

import sys

from handful.cli import main

sys.exit(main())
