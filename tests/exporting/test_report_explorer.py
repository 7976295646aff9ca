"""A report that carries the web page of its model can be played with."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.cli.main import main
from support.browser import opened


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("explorer")
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(folder / f"{index}.png")
    options = {"size": 32, "steps": 2, "batch": 2, "device": "cpu", "compile": "off", "score_features": "random"}
    handful.train(handful.tiny(folder, run=folder / "run", report=False, **options))
    return folder / "run"


def policy(path: Path) -> str:
    return re.search(r'Content-Security-Policy" content="(.*?)"', path.read_text(encoding="utf-8"))[1]


@pytest.mark.slow
def test_a_report_without_the_explorer_stays_as_strict_as_it_is(run):
    path = handful.report(run, "cpu")
    assert "wasm" not in policy(path)
    assert "worker" not in policy(path)
    assert "<iframe" not in path.read_text(encoding="utf-8")


@pytest.mark.web
def test_the_explorer_in_a_report_draws_seed_7_as_python_does(run):
    assert main(["report", str(run), "--with-explorer", "--device", "cpu"]) == 0
    with opened(run / "report.html") as page:
        page.locator("iframe").scroll_into_view_if_needed()
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for(timeout=20_000)
        frame.locator("#seed").fill("7")
        frame.locator("#seed").press("Enter")
        frame.locator('#picture[data-name="seed-7"]').wait_for(timeout=10_000)
        with page.expect_download() as saved:
            frame.locator("#save").click()
        own = handful.load(run, "cpu").images([7])[0]
        assert np.array_equal(np.asarray(Image.open(saved.value.path())), np.asarray(own))
        frame.locator("#truncation").fill("0.4")
        frame.locator('#picture[data-name="seed-7-changed"]').wait_for(timeout=10_000)
