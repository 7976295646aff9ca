"""Write a model as one web page that draws its pictures itself: no server, no network."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np

from handful import templates
from handful.explore.directions import from_maps
from handful.exporting.onnx import on_cpu
from handful.exporting.web_weights import Weights, describe
from handful.files import replacing
from handful.progress import advance, note, working
from handful.sampling.model import Model

WORKER = ("random", "kernel", "generator", "worker")

SCRIPT = ("png", "app")
"""Modules of the page, each after those that it imports."""

DIRECTIONS = 6
"""Sliders, at most."""

LARGE = 50_000_000
"""Letters from which on a page is told to be slow."""

CHECKED_SEED = 0
"""The page carries PyTorch's picture of this seed and compares it with its own, in the browser that it runs in."""

POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; worker-src blob:; "
    "script-src 'sha256-{digest}' 'wasm-unsafe-eval'"
)
"""What the page may do: run its own script, its worker and its kernel, and reach no network."""

LINKS = re.compile(r"^import .*?;\n|^export ", re.MULTILINE)
"""Of modules that are joined to one script."""


def write_web(model: Model, path: Path, title: str, license: str | None = None) -> Path:
    """Write a model as one HTML file. It opens from the disk; seeds draw the same pictures as on a CPU.

    An existing file is replaced.

    Args:
        model: The model. The page computes in float32, whatever the model does.
        path: The file.
        title: Heading of the page.
        license: Licence of the training images, to be shown.

    Raises:
        StorageError: if the file cannot be written.
    """
    html = render(model, title, license)
    advance("writing the page", 0, 1)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    advance("writing the page", 1, 1)
    return path


def render(model: Model, title: str, license: str | None = None, framed: bool = False) -> str:
    """Return the HTML of a model's page; without a heading and links if it is shown in the frame of another."""
    model = on_cpu(model)
    height, width = model.config.shape
    with working("measuring truncation and directions"):
        directions = from_maps(model, min(DIRECTIONS, model.config.latent))
        weights = Weights()
        description = describe(model, weights) | {
            "directions": weights.add(directions.vectors),
            "names": directions.names,
            "latent": model.config.latent,
            "noise": model.network.noise_shapes,
            "height": height,
            "width": width,
            "classes": model.config.classes,
            "check": base64.b64encode(np.asarray(model.images([CHECKED_SEED])[0]).tobytes()).decode(),
        }
    kind = {1: "grey", 3: "RGB", 4: "RGBA"}[model.config.channels]
    made = f"{width}x{height} {kind}, model {model.fingerprint}, handful {version('handful')}"
    page = templates.environment("handful.exporting", "page").get_template("page.html")
    html = page.render(
        policy=POLICY.format(digest=script_hash()),
        framed=framed,
        title=title,
        made=made if license is None else f"{made}, images: {license}",
        look=(files("handful.reporting") / "look.css").read_text(encoding="utf-8"),
        style=source("style.css"),
        width=width,
        height=height,
        classes=model.config.classes,
        names=directions.names,
        model=embedded(description),
        worker=joined(WORKER),
        weights=weights.packed(),
        script=joined(SCRIPT),
    )
    if len(html) > LARGE:
        note(f"the page has {len(html) / 1e6:.0f} MB: browsers open it slowly and draw few pictures a second")
    return html


def script_hash() -> str:
    """Return the hash of the page's script, as content policies have it."""
    return templates.digest(joined(SCRIPT))


def joined(modules: tuple[str, ...]) -> str:
    """Return modules as one script."""
    return '"use strict";\n' + "\n".join(LINKS.sub("", source(f"{name}.js")) for name in modules)


def embedded(value: object) -> str:
    """Return JSON that no text in it can end the script element of."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


@cache
def source(name: str) -> str:
    """Return a file of the page."""
    return (files("handful.exporting") / "page" / name).read_text(encoding="utf-8")
