"""Templates of pages, and the hash by which a page's content policy names its script."""

from __future__ import annotations

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(
    package: str, folder: str = ".", *, autoescape: bool = True, trailing_newline: bool = False
) -> Environment:
    """Return an environment for the templates in a folder of a package. An unknown name in a template is an error."""
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=trailing_newline,
    )


def digest(script: str) -> str:
    """Return the hash of a script, as content policies have it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
