"""Write a folder that runs as a Space of the Hugging Face Hub, and on any machine with Gradio."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from handful.config.choices import ExportPrecision
from handful.exporting.onnx import write_onnx
from handful.files import replacing
from handful.sampling.model import Model

COPIED = ("app.py", "draw.py", "requirements.txt")


def write_space(model: Model, folder: Path, precision: ExportPrecision = "fp32", license: str | None = None) -> None:
    """Write an app with its model, requirements and card into a new folder.

    Raises:
        UsageError: as ``write_onnx``.
        StorageError: if a file cannot be written.
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_onnx(model, temporary / "model.onnx", precision, license=license)
        for name in COPIED:
            content = files("handful.exporting").joinpath("space", name).read_bytes()
            (temporary / name).write_bytes(content)
        (temporary / "README.md").write_text(card(folder.resolve().name, license), encoding="utf-8")


def card(title: str, license: str | None) -> str:
    """Return the card of a Space."""
    metadata = {"title": title, "sdk": "gradio", "app_file": "app.py"} | ({"license": license} if license else {})
    lines = [f"{name}: {json.dumps(value)}" for name, value in metadata.items()]
    text = "Pictures by seed, from a generator that was trained with handful. To run it here:"
    commands = "```sh\npip install -r requirements.txt\npython app.py\n```"
    return "\n".join(["---", *lines, "---", "", f"# {title}", "", text, "", commands, ""])
