"""Folders that hold no training images: hidden ones, those of systems, thumbnails, runs and models."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from handful.records import layout

SYSTEM_FOLDERS = frozenset(
    ["__macosx", "@eadir", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"]
)
"""Folders of macOS, of network storage (Synology) and of Windows, in lower case."""

THUMBNAIL_FOLDERS = frozenset(["thumbnails", "thumbnail", "thumbs", "thumb", "_thumbs", "_thumbnails"])
"""Folders of small copies, in lower case."""

RUN_FOLDERS = frozenset(name for name in layout.WRITTEN if name) | {layout.TENSORBOARD, layout.WANDB}
"""Folders within a run."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or of a system; nobody is told of these."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def why_passed_over(name: str, children: Collection[str], read: Callable[[str], bytes]) -> str | None:
    """Return why a folder is passed over, for the user; None if it is not.

    Args:
        name: Of the folder.
        children: Names of what it holds.
        read: Returns the content of one of these files.
    """
    if name.lower() in THUMBNAIL_FOLDERS:
        return "thumbnails"
    if is_run(children, read):
        return "a run of handful"
    if layout.CONFIG in children and str(read_config(read).get("format", "")).startswith("handful "):
        return "a model of handful"
    return None


def is_run(children: Collection[str], read: Callable[[str], bytes]) -> bool:
    """Return whether a folder is that of a run, even if its options cannot be read."""
    if layout.LOG in children and layout.CHECKPOINTS in children:
        return True
    return layout.CONFIG in children and {"handful", "options"} <= read_config(read).keys()


def read_config(read: Callable[[str], bytes]) -> dict[str, object]:
    """Return the content of a folder's config.json; empty if it cannot be read."""
    try:
        value = json.loads(read(layout.CONFIG))
    except Exception:  # It may be damaged, also in an archive.
        return {}
    return value if isinstance(value, dict) else {}
