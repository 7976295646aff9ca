"""Commands that take a model elsewhere: export, push."""

from __future__ import annotations

from handful.cli.command import Answer, Call, command


@command("Share", "exporting.export:export", example="handful export runs/photos --out photos.onnx")
def export(call: Call) -> Answer:
    """Export a model to a form that runs without handful.

    What is written is first read back and compared with PyTorch. See docs/export.md.
    """
    path = call()
    size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
    data = {"source": str(call["source"]), "format": call["format"], "file": str(path), "bytes": size}
    return Answer(data, f"{path}: {size / 1e6:.1f} MB")


@command("Share", "exporting.hub:push", example="handful push runs/photos me/photos")
def push(call: Call) -> Answer:
    """Push a model to the Hugging Face Hub, privately.

    It gets the model, an ONNX file, a grid of pictures and a card. Training images are never sent. Log in first, with
    hf auth login.
    """
    address = call()
    return Answer({"source": str(call["source"]), "address": address}, address)
