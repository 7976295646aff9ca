"""Commands that take a model elsewhere: export."""

from __future__ import annotations

from handful.cli.command import Answer, Call, command


@command("Share", "exporting.export:export", example="handful export runs/photos --out photos.onnx")
def export(call: Call) -> Answer:
    """Export a model to a form that runs without handful.

    What is written is first read back and compared with PyTorch. See docs/export.md.
    """
    path = call()
    size = path.stat().st_size
    data = {"source": str(call["source"]), "format": call["format"], "file": str(path), "bytes": size}
    return Answer(data, f"{path}: {size / 1e6:.1f} MB")
