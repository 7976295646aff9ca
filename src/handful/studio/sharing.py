"""Sharing a model from its page: what this machine can write, and checks in the words of the page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from handful.config.choices import ExportFormat
from handful.errors import UsageError
from handful.exporting.export import export
from handful.exporting.hub import push

FILES: dict[str, ExportFormat] = {".html": "web", ".onnx": "onnx"}
"""What can be exported as one file, by its ending."""

NEEDS = {"onnx": ("onnx", "onnxruntime"), "web": (), "hub": ("huggingface_hub", "onnx", "onnxruntime")}
"""Packages that each way to share needs."""

LICENSE_LETTERS = 100


def ways() -> dict[str, Any]:
    """Return which packages each way to share lacks, and whether this machine is logged in to the Hub."""
    lacking = {way: [name for name in needed if find_spec(name) is None] for way, needed in NEEDS.items()}
    return {"lacking": lacking, "logged_in": not lacking["hub"] and is_logged_in()}


def is_logged_in() -> bool:
    """Return whether this machine has a token for the Hub. It is neither read by the page nor sent to it."""
    from huggingface_hub import get_token

    return get_token() is not None


def license_of(value: object) -> str | None:
    """Return the licence that a page gave; None for none.

    Raises:
        UsageError: It is none.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LICENSE_LETTERS or not value.isprintable():
        raise UsageError("licence: must be a short name, such as cc-by-4.0")
    return value


def write_export(path: Path, source: Path, license: str | None) -> None:
    """Export a model to a file, in the format of its ending."""
    export(source, FILES[path.suffix], path, license=license)


def send(source: Path, repository: str, public: bool, license: str | None, pictures: bool) -> dict[str, str]:
    """Push a model to the Hub, and return the address of the repository."""
    return {"address": push(source, repository, public, license, pictures)}


def check_push(repository: str, public: bool, license: str | None) -> None:
    """Check what can be checked before the work begins, in the words of the page.

    Raises:
        UsageError: The name is none, the licence is missing, or this machine is not logged in.
    """
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise UsageError(f"{repository[:LICENSE_LETTERS]}: write the name as owner/name, as in your-name/birds")
    if public and license is None:
        raise UsageError("a model that everybody sees needs the licence of your pictures, such as cc-by-4.0")
    if not ways()["logged_in"]:
        raise UsageError("this machine is not logged in to the Hugging Face Hub; run in a terminal: hf auth login")
