"""The machine's own chromium, offline."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

BROWSER = shutil.which("chromium")


@contextmanager
def launched() -> Iterator:
    """Start chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(path: Path, part: str = "", width: int = 1440, height: int = 900, **options) -> Iterator:
    """Open a page from the disk with the network off; it must write nothing to the console and raise no error."""
    with launched() as browser:
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.resolve().as_uri() + part)
        yield page
    assert not said, said
