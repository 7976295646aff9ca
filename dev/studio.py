"""Make the pictures of docs/studio.md: each page of the studio, wide in light and narrow in dark.

    python dev/studio.py RUNS PHOTOS

RUNS is a folder of runs with one that has a report, whose name is the third argument (default: flowers). PHOTOS is the
folder of pictures that the new run is shown with. Needs Chromium.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

PINNED = (2, 3, 9, 17)

PATIENCE = 180_000
"""Milliseconds."""

GAP, SCALE = 20, 0.8
"""Of the row of narrow pages."""


def main() -> None:
    """Start a studio, visit its pages, and write what they look like."""
    runs, photos, name = sys.argv[1], Path(sys.argv[2]).resolve(), (*sys.argv[3:], "flowers")[0]
    trained_on = json.loads((Path(runs) / name / "config.json").read_text())["options"]["images"]
    command = [sys.executable, "-m", "handful", "studio", runs, "--no-browser", "--allow", str(photos), trained_on]
    studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert studio.stdout is not None
    address = studio.stdout.readline().strip()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            visit(page, address.split("/?")[0], photos, name)
    finally:
        studio.terminate()
        studio.wait()


def visit(page: Page, base: str, photos: Path, name: str) -> None:
    """Visit every page, and write the row of narrow ones at the end."""
    narrow = []
    page.wait_for_selector(".card img")
    narrow.append(shown(page, "home"))
    page.goto(f"{base}/new")
    page.set_input_files("#files", sorted(photos.iterdir()))
    page.wait_for_selector("#step-options:not([hidden])")
    page.check("input[value=tiny]")
    page.wait_for_timeout(5_000)
    narrow.append(shown(page, "new", 1600))
    page.goto(f"{base}/run?name={name}")
    page.wait_for_selector("#pairs img")
    narrow.append(shown(page, "run", 2100))
    page.goto(f"{base}/explore?source={name}")
    page.wait_for_selector("#directions input[type=range]")
    for seed in PINNED:
        page.click(f"#wall button[aria-label='Seed {seed}']")
        page.wait_for_timeout(1_000)
        page.keyboard.press("p")
    page.click("#pinned-corners")
    page.mouse.move(5, 5)
    narrow.append(shown(page, "explore"))
    page.keyboard.press("c")
    narrow.append(shown(page, "compare"))
    page.keyboard.press("Escape")
    page.click("#share")
    page.click("#way-page > .actions button")
    page.wait_for_selector("#way-page .links a")
    narrow.append(shown(page, "share"))
    row = Image.new("RGB", (len(narrow) * (NARROW["width"] + GAP) - GAP, NARROW["height"]), "white")
    for index, image in enumerate(narrow):
        row.paste(image, (index * (NARROW["width"] + GAP), 0))
    row.resize((round(SCALE * row.width), round(SCALE * row.height))).save(IMAGES / "studio-phone.webp", quality=75)


def shown(page: Page, name: str, height: int | None = None) -> Image.Image:
    """Write how a page looks wide, down to a height, and return how it looks narrow."""
    images = []
    for size, scheme in ((NARROW, "dark"), (WIDE, "light")):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(2_500)
        images.append(Image.open(io.BytesIO(page.screenshot(full_page=height is not None))).convert("RGB"))
    narrow, wide = images
    wide = wide.crop((0, 0, wide.width, min(wide.height, height or wide.height)))
    wide.thumbnail((1200, 2000))
    wide.save(IMAGES / f"studio-{name}.webp", quality=80, method=6)
    return narrow.crop((0, 0, NARROW["width"], NARROW["height"]))


if __name__ == "__main__":
    main()
