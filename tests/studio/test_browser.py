"""The whole way in a real browser: from an empty folder to pictures, a film and a page to send away."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from studio.conftest import end_runs, started, write_run
from support.browser import launched

pytestmark = pytest.mark.web

SECONDS = 1000
LONG = 120 * SECONDS
"""What training may take on a machine that does other things too."""

HOSTILE = "<img src=x onerror=console.log(1)>'\"&amp;"

DROP = """files => {
  const dataTransfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
  }
  const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
  document.getElementById("drop").dispatchEvent(event);
}"""


def pictures(count: int) -> list[tuple[str, str]]:
    """Names and contents, in base64, of smooth pictures."""
    random = np.random.default_rng(0)
    made = []
    for index in range(count):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (4, 4, 3), np.uint8)).resize((48, 48)).save(file, "PNG")
        made.append((f"{index:02d}.png", base64.b64encode(file.getvalue()).decode()))
    return made


class Visitor:
    """A browser whose console must stay empty."""

    def __init__(self, browser, address: str) -> None:
        self.said: list[str] = []
        self.browser = browser
        self.page = self.watched(browser.new_context(viewport={"width": 1440, "height": 900})).new_page()
        self.page.set_default_timeout(30 * SECONDS)
        self.page.goto(address)

    def watched(self, context):
        context.on("console", lambda message: self.said.append(message.text))
        context.on("weberror", lambda error: self.said.append(str(error.error)))
        return context

    def check_access(self) -> None:
        """Let axe look at the page, wide and light, then narrow and dark; nothing may lie outside of a narrow one."""
        for width, scheme in ((1440, "light"), (390, "dark")):
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            faults = Axe().run(self.page).response["violations"]
            serious = [fault for fault in faults if fault["impact"] in ("serious", "critical")]
            assert [(fault["id"], [node["html"] for node in fault["nodes"]][:3]) for fault in serious] == []
            assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        self.page.set_viewport_size({"width": 1440, "height": 900})
        self.page.emulate_media(color_scheme="light")

    def saved(self, click: str) -> Path:
        """Click, and return the file that is downloaded."""
        with self.page.expect_download(timeout=LONG) as download:
            self.page.click(click)
        return Path(download.value.path())


def start_run(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_text("Nothing here yet").wait_for()
    visitor.check_access()
    page.click("text=Start your first run")
    page.wait_for_url("**/new")
    page.evaluate(DROP, pictures(24))
    page.wait_for_selector("#verdict:not(.bad)")
    assert page.locator("#sheet img").count() == 24
    page.click("text=More options")
    visitor.check_access()
    page.check("input[value=tiny]")
    for name, value in (("name", "first"), ("size", "32"), ("steps", "6"), ("batch", "4")):
        page.fill(f"#options [name={name}]", value)
    page.wait_for_selector("#step-start:not([hidden])")
    page.click("#start")


def watch(visitor: Visitor) -> None:
    page = visitor.page
    page.wait_for_url("**/run?name=first")
    page.wait_for_selector("#state.finished", timeout=LONG)
    page.wait_for_selector("#findings li")
    page.wait_for_selector("#pairs img")
    assert page.locator("#grid").evaluate("image => image.naturalWidth") > 0
    visitor.check_access()


def explore(visitor: Visitor, photo: Path) -> None:
    page = visitor.page
    page.click("#actions >> text=Explore")
    page.wait_for_selector("#picture[width='32']", timeout=LONG)
    page.wait_for_selector("#directions input[type=range]")
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    page.get_by_text("Between 0, 1, 2 and 3").wait_for()
    page.keyboard.press("p")
    page.keyboard.press("Control+z")
    page.get_by_text("Seed 0", exact=True).first.wait_for()
    page.focus("#wall button[aria-label='Seed 0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#wall button.chosen[aria-label='Seed 1']")
    page.keyboard.press("p")
    page.wait_for_selector("#pins li:nth-child(2)")
    page.focus("#directions input[type=range]")
    page.keyboard.press("ArrowRight")
    page.get_by_text("1 moved").wait_for()
    visitor.check_access()
    page.click("#title", force=True)
    page.keyboard.press("c")
    page.wait_for_selector("#compared li:nth-child(2)")
    visitor.check_access()
    page.keyboard.press("Escape")
    page.fill("#pace", "0.5")
    assert visitor.saved("#film").stat().st_size > 1000
    with Image.open(visitor.saved("#grid")) as grid:
        assert grid.size == (66, 32)
    page.set_input_files("#photo", photo)
    page.get_by_text("The nearest that this model can draw").wait_for(timeout=LONG)
    page.click("#ask")
    page.wait_for_selector("#near li:nth-child(4)", timeout=LONG)


def share(visitor: Visitor) -> None:
    page = visitor.page
    page.click("#back")
    page.click("#way-page button")
    page.wait_for_selector("#way-page .links a", timeout=LONG)
    visitor.check_access()
    with page.expect_popup() as popup:
        page.click("#way-page .links a")
    popup.value.wait_for_selector("html[data-ready]")
    popup.value.close()
    away = visitor.watched(visitor.browser.new_context(offline=True)).new_page()
    file = visitor.saved("#way-page .links button")
    away.goto(file.rename(file.with_suffix(".html")).as_uri())
    away.wait_for_selector("html[data-ready]")


def test_the_whole_way_from_an_empty_folder_to_a_page_to_send_away(tmp_path):
    runs, photo = tmp_path / "runs", tmp_path / "photo.png"
    photo.write_bytes(base64.b64decode(pictures(1)[0][1]))
    try:
        with started(runs) as (_, address), launched() as browser:
            visitor = Visitor(browser, address)
            start_run(visitor)
            watch(visitor)
            explore(visitor, photo)
            share(visitor)
            visitor.page.goto(visitor.page.url.split("/run")[0])
            visitor.page.wait_for_selector(".card img")
            visitor.check_access()
            assert visitor.said == []
    finally:
        end_runs(runs)


def test_a_name_that_is_markup_is_shown_as_it_is_and_runs_nothing(runs, photos):
    write_run(runs / HOSTILE, photos)
    with started(runs, "--allow", str(photos)) as (_, address), launched() as browser:
        visitor = Visitor(browser, address)
        page = visitor.page
        page.get_by_role("link", name=HOSTILE, exact=True).click(timeout=LONG)
        page.wait_for_selector("#state.finished", timeout=LONG)
        assert page.inner_text("h1") == HOSTILE
        page.click("#actions >> text=Explore")
        page.wait_for_selector("#picture[width='32']", timeout=LONG)
        assert HOSTILE in page.title()
        assert visitor.said == []
