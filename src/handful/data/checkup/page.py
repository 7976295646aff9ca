"""A checkup as one self-contained HTML file, without scripts and without anything to download."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup, escape
from PIL import Image

from handful import templates
from handful.config.text import title
from handful.data.checkup.examine import Checkup
from handful.data.checkup.findings import FILES_NAMED, Finding
from handful.data.checkup.sheet import draw_crops
from handful.files import printable, replacing

CASES_SHOWN = 12
"""Cases of a finding that are shown with their pictures; the others are named."""

CROPS_SHOWN = 24

MIN_LOST_SHARE = 0.05
"""Share of a picture that the crop must remove for the crop to be shown."""


@dataclass(frozen=True)
class Figure:
    """A case as the page shows it."""

    names: tuple[str, ...]
    detail: str
    pictures: tuple[str, ...]
    """Data URIs, without those of files that cannot be read."""


def write_page(path: Path, checkup: Checkup) -> None:
    """Write the page, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(render(checkup), encoding="utf-8")


def render(checkup: Checkup) -> str:
    """Return the HTML of the page, to be written as UTF-8."""
    losing = [(name, share) for name, share in checkup.kept_shares if 1 - share > MIN_LOST_SHARE]
    pictures = encode_pictures(checkup, [name for name, _ in losing[:CROPS_SHOWN]])
    crops = [
        Figure((printable(name),), f"{share:.0%} is kept", (pictures[name],)) for name, share in losing[:CROPS_SHOWN]
    ]
    template = environment().get_template("page.html")
    return template.render(
        checkup=checkup,
        title=printable(title(checkup.path)),
        findings=[(finding, figures(finding, pictures), names_of_rest(finding)) for finding in checkup.findings],
        crops=crops,
        losing=len(losing),
    )


def encode_pictures(checkup: Checkup, cropped: list[str]) -> dict[str, str]:
    """Return data URIs of these pictures and of all that the findings show, by name."""
    inspected = {file.name for file in checkup.folder.files}
    cases = [case for finding in checkup.findings for case in finding.cases[:CASES_SHOWN]]
    shown = [name for case in cases for name in case.files[:FILES_NAMED] if name in inspected]
    names = list(dict.fromkeys([*cropped, *shown]))
    pictures = draw_crops(checkup, names)
    return {name: data_uri(picture) for name, picture in zip(names, pictures, strict=True)}


def figures(finding: Finding, pictures: dict[str, str]) -> list[Figure]:
    """Return the cases of a finding that are shown with their pictures."""
    shown = []
    for case in finding.cases[:CASES_SHOWN]:
        files = case.files[:FILES_NAMED]
        more = len(case.files) - len(files)
        detail = ", ".join(part for part in (case.detail, f"and {more} more" * (more > 0)) if part)
        uris = tuple(pictures[name] for name in files if name in pictures)
        shown.append(Figure(tuple(map(printable, files)), detail, uris))
    return shown


def names_of_rest(finding: Finding) -> list[str]:
    """Return the names of the cases that are not shown."""
    return [str(case) for case in finding.cases[CASES_SHOWN:]]


def data_uri(picture: Image.Image) -> str:
    """Return a picture as a data URI."""
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def environment() -> Environment:
    """Return the environment of the template."""
    environment = templates.environment("handful.data", "checkup")
    environment.filters["mark_options"] = mark_options
    return environment


def mark_options(text: str) -> Markup:
    """Escape a text and mark the options in it as code, so that none is broken across lines."""
    return Markup(re.sub(r"--[a-z]+(?:-[a-z]+)*", r"<code>\g<0></code>", str(escape(text))))
