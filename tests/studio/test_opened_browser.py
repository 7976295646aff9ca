"""A model file in a real browser, with the keyboard alone: opened, mixed, kept and exported."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from studio.conftest import started
from studio.test_browser import LONG, Visitor
from support.browser import launched
from support.models import made

pytestmark = pytest.mark.web

MOST_TABS = 120


def press(page: Page, selector: str) -> None:
    """Go on with Tab until an element has the focus, and press it."""
    reach(page, selector)
    page.keyboard.press("Enter")


def reach(page: Page, selector: str) -> None:
    """Go on with Tab until an element has the focus."""
    element = page.locator(selector).first
    element.wait_for(state="attached")
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if element.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab never reached {selector}")


def saved(page: Page, selector: str) -> Path:
    """Press an element, and return the file that is downloaded."""
    with page.expect_download(timeout=LONG) as download:
        press(page, selector)
    return Path(download.value.path())


def open_model(page: Page, folder: Path) -> None:
    press(page, "#open")
    press(page, "#open-browser")
    press(page, f"#folders li:has-text('{folder.name}') button")
    press(page, "#folders li:has-text('birds.safetensors') button")
    page.wait_for_url("**/explore?**")
    page.wait_for_selector("#picture[width='64']", timeout=LONG)
    page.wait_for_selector("#directions input[type=range]", timeout=LONG)


def mix(page: Page) -> None:
    press(page, "#others")
    reach(page, "#pad")
    page.keyboard.press("ArrowRight")
    page.get_by_text(re.compile("^Between 0 and")).wait_for()
    reach(page, "#truncation")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.getElementById('truncation-value').textContent === '0.99'")
    reach(page, "#class")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.get_by_text(re.compile("dog · 64")).wait_for()
    press(page, "#styles li:nth-child(3) button")
    page.get_by_text("in the style of seed 1").wait_for()
    page.keyboard.press("p")
    page.keyboard.press("r")
    page.keyboard.press("p")
    page.wait_for_selector("#pins li:nth-child(2)")


def keep(page: Page, latents: Path) -> None:
    with Image.open(saved(page, "#download")) as picture:
        assert picture.size == (64, 64)
    press(page, "#play")
    page.wait_for_selector("#play[aria-pressed=true]")
    page.keyboard.press("Enter")
    saved(page, "#save").rename(latents)
    press(page, "#clear")
    page.wait_for_selector("#pins:empty", state="attached")
    page.set_input_files("#load", latents)
    page.wait_for_selector("#pins li:nth-child(2)")
    label = page.get_attribute("#pins li:nth-child(2) button", "aria-label")
    second = label.removeprefix("Pin 2, ").removesuffix(": show it").lower()
    before = page.url
    press(page, "#pinned-corners")
    page.wait_for_function("before => location.href !== before", arg=before)
    reach(page, "#pad")
    page.keyboard.press("ArrowRight")
    shown = "second => document.getElementById('name').textContent.toLowerCase().endsWith(` and ${second}`)"
    page.wait_for_function(shown, arg=second)


def share(page: Page) -> None:
    press(page, "#share")
    assert page.locator("#way-report").is_hidden()
    press(page, "#way-page > .actions button")
    page.wait_for_selector("#way-page .links a", timeout=LONG)
    assert b"<canvas" in saved(page, "#way-page .links button").read_bytes()
    page.keyboard.press("Escape")


def choose_pictures(page: Page, folder: Path) -> None:
    press(page, "#open-browser")
    press(page, f"#folders li:has-text('{folder.name}') button")
    press(page, "#use")
    page.wait_for_selector("#step-start:not([hidden])", timeout=LONG)
    reach(page, "input[value=default]")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#options [name=size]") == "64"
    reach(page, "#start")


def test_a_model_file_is_opened_mixed_kept_and_exported_with_the_keyboard_alone(tmp_path, photos):
    folder = tmp_path / "away"
    folder.mkdir()
    made(size=64, classes=("cat", "dog")).save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(folder / "birds.safetensors")
    allowed = ("--allow", str(folder), str(photos))
    with started(tmp_path / "runs", *allowed) as (_, address), launched() as browser:
        visitor = Visitor(browser, address)
        page = visitor.page
        open_model(page, folder)
        mix(page)
        keep(page, tmp_path / "latents.safetensors")
        share(page)
        visitor.check_access()
        page.goto(page.url.split("/explore")[0] + "/new")
        choose_pictures(page, photos)
        assert visitor.said == []
