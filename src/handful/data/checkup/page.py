"""What the doctor found as one HTML file that needs nothing else: no network, no other file, no script."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from handful.config.text import title
from handful.data.checkup.examine import Checkup
from handful.data.checkup.findings import SHOWN, Finding
from handful.data.checkup.sheet import cuts
from handful.files import readable, replacing

CASES = 12
"""Cases of a finding that are shown with their pictures; the others are named."""


CROPS = 24
"""Pictures shown with their crop."""


LOSS = 0.05
"""Share that must be cut away of a picture for it to be shown with its crop."""


@dataclass(frozen=True)
class Shown:
    """A case as the page has it."""

    names: tuple[str, ...]
    detail: str
    pictures: tuple[str, ...]
    """Data URIs; none where the file cannot be read."""


def write_page(path: Path, checkup: Checkup) -> None:
    """Write the page, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(render(checkup), encoding="utf-8")


def render(checkup: Checkup) -> str:
    """Make the HTML of a page, ready to be written as UTF-8."""
    losing = [(name, share) for name, share in checkup.by_loss if 1 - share > LOSS]
    wanted = [name for name, _ in losing[:CROPS]]
    known = {look.name for look in checkup.folder.looks}
    for finding in checkup.findings:
        wanted += [name for case in finding.cases[:CASES] for name in case.files[:SHOWN] if name in known]
    names = list(dict.fromkeys(wanted))
    pictures = cuts(checkup.photos, names, checkup.folder.shape, checkup.folder.fit)
    uris = {name: uri(picture) for name, picture in zip(names, pictures, strict=True)}
    return (
        environment()
        .get_template("page.html")
        .render(
            checkup=checkup,
            title=readable(title(checkup.path)),
            findings=[(finding, shown(finding, uris), rest(finding)) for finding in checkup.findings],
            crops=[Shown((readable(name),), f"{share:.0%} is kept", (uris[name],)) for name, share in losing[:CROPS]],
            losing=len(losing),
        )
    )


def shown(finding: Finding, uris: dict[str, str]) -> list[Shown]:
    """Give the cases of a finding that are shown."""
    cases = []
    for case in finding.cases[:CASES]:
        files = case.files[:SHOWN]
        more = len(case.files) - len(files)
        detail = ", ".join(part for part in (case.detail, f"and {more} more" * (more > 0)) if part)
        cases.append(Shown(tuple(map(readable, files)), detail, tuple(uris[name] for name in files if name in uris)))
    return cases


def rest(finding: Finding) -> list[str]:
    """Name the cases that are not shown."""
    return [str(case) for case in finding.cases[CASES:]]


def uri(picture: Image.Image) -> str:
    """Encode a picture."""
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def environment() -> Environment:
    """Load the template."""
    return Environment(
        loader=PackageLoader("handful.data", "checkup"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
