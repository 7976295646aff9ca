"""Keep Pillow and its libraries from printing what is wrong with a file, without its name. All raise errors as well."""

from __future__ import annotations

import ctypes
import logging
from contextlib import suppress
from functools import cache

from PIL import _imaging


@cache
def silence_decoders() -> None:
    """Silence Pillow's log, and libtiff, which writes to the error stream."""
    # Without a handler, Python prints what is logged.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):  # where Pillow holds libtiff inside, as on Windows
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)
