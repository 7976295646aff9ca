"""The page in a browser, opened from the disk with the network off."""

import re
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.exporting.web import write_web
from handful.sampling.model import Model
from support.browser import opened
from support.models import made, trained

pytestmark = pytest.mark.web

READ = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"""


def read(page, selector: str = "#picture") -> np.ndarray:
    """Return the colours of a canvas."""
    canvas = page.locator(selector)
    height, width = canvas.evaluate("canvas => [canvas.height, canvas.width]")
    return np.array(canvas.evaluate(READ), np.uint8).reshape(height, width, 4)[:, :, :3]


def ready(page) -> None:
    page.wait_for_selector("html[data-ready]", timeout=20_000)


def until(page, condition: str) -> None:
    """Wait for a condition; the page's policy forbids playwright's own way, which evaluates text within the page."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def named(page, name: str) -> np.ndarray:
    """Return the large picture once it has a name."""
    page.wait_for_selector(f'#picture[data-name="{name}"]', timeout=10_000)
    return read(page)


def own(model: Model, seed: int, **options) -> np.ndarray:
    return np.asarray(model.images([seed], **options)[0].convert("RGB"))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(trained(64))


@pytest.fixture(scope="module")
def path(model, tmp_path_factory) -> Path:
    return write_web(model, tmp_path_factory.mktemp("web") / "page.html", "birds")


def near(left: np.ndarray, right: np.ndarray) -> bool:
    far = np.abs(left.astype(int) - right)
    return left.shape == right.shape and far.max() <= 1 and (far > 0).mean() < 1e-3


def test_seed_7_is_that_of_python_and_so_is_its_png_file(path, model):
    with opened(path, "#seed=7") as page:
        ready(page)
        assert np.array_equal(named(page, "seed-7"), own(model, 7))
        with page.expect_download() as saved:
            page.click("#save")
        assert saved.value.suggested_filename == "seed-7.png"
        picture = Image.open(BytesIO(Path(saved.value.path()).read_bytes()))
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), own(model, 7))
        print("ready after", page.get_attribute("html", "data-ready"), "ms")


@pytest.mark.parametrize(
    "options",
    [
        {"size": 32, "channels": 1, "sle": False, "latent": 13},
        {"size": "48x80", "classes": ("cats", "dogs", "newts"), "latent": 32},
        {"size": "96x64", "channels": 4, "classes": ("cats", "dogs"), "latent": 32},
    ],
)
def test_models_of_every_kind_draw_what_python_draws(options, tmp_path):
    model = made(**options)
    page_path = write_web(model, tmp_path / "page.html", "birds")
    with opened(page_path, "#seed=5") as page:
        ready(page)
        for seed, truncation in ((5, 1.0), (4, 0.5)):
            page.evaluate(f"location.hash = 'seed={seed}&truncation={truncation}'")
            page.wait_for_selector(f'#picture[data-name="seed-{seed}{"-changed" if truncation < 1 else ""}"]')
            with page.expect_download() as saved:
                page.click("#save")
            picture = Image.open(saved.value.path())
            expected = model.images([seed], truncation=truncation)[0]
            assert picture.mode == expected.mode
            assert near(np.asarray(picture), np.asarray(expected))


def test_the_page_compares_itself_with_pytorch(path, model, tmp_path):
    with opened(path) as page:
        page.wait_for_selector("html[data-differs]", timeout=20_000)
        assert float(page.get_attribute("html", "data-differs")) < 1e-3
        assert not page.is_visible("#differs")
    first, other = (b64encode(np.asarray(model.images([seed])[0]).tobytes()).decode() for seed in (0, 1))
    (tmp_path / "page.html").write_text(path.read_text().replace(first, other))
    with opened(tmp_path / "page.html") as page:
        page.wait_for_selector("html[data-differs]", timeout=20_000)
        told = page.text_content("#differs")
        assert re.fullmatch(r"In this browser \d+ % of a picture's bytes differ from those of handful generate\.", told)
        assert page.is_visible("#differs")


def test_each_control_changes_the_picture(path, model):
    with opened(path, "#seed=7") as page:
        ready(page)
        first = named(page, "seed-7")
        page.click("#next")
        assert near(named(page, "seed-8"), own(model, 8))
        page.click("#previous")
        assert np.array_equal(named(page, "seed-7"), first)
        page.fill("#seed", "12")
        page.press("#seed", "Enter")
        assert near(named(page, "seed-12"), own(model, 12))
        assert page.evaluate("location.hash") == "#seed=12"
        page.locator("#truncation").fill("0.4")
        assert near(named(page, "seed-12-changed"), own(model, 12, truncation=0.4))
        assert "truncation=0.4" in page.evaluate("location.hash")
        page.click("#reset")
        assert near(named(page, "seed-12"), own(model, 12))
        for index in range(6):
            page.locator(f"#direction-{index}").fill("3")
            assert not near(named(page, "seed-12-changed"), own(model, 12))
            page.click("#reset")
            named(page, "seed-12")
        page.click("#random")
        until(page, "document.getElementById('seed').value !== '12'")


def test_the_pad_walks_between_four_seeds_by_mouse_and_keys(path, model):
    with opened(path, "#seed=7") as page:
        ready(page)
        box = page.locator("#pad").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.up()
        middle = named(page, "seed-7-changed")
        assert not any(near(middle, own(model, seed)) for seed in range(7, 11))
        page.locator("#pad").press("Home")
        named(page, "seed-7")
        for _ in range(4):
            page.locator("#pad").press("Shift+ArrowRight")
        until(page, "document.getElementById('pad').getAttribute('aria-valuenow') === '100'")
        page.wait_for_timeout(300)
        assert near(read(page), own(model, 8))
        until(page, "document.getElementById('corner-3').width > 0")
        assert near(read(page, "#corner-3"), own(model, 10))


def test_a_walk_draws_thirty_pictures_a_second_and_stops(path):
    with opened(path, "#seed=7") as page:
        ready(page)
        page.wait_for_timeout(1000)
        page.keyboard.press(" ")
        page.wait_for_timeout(4500)
        rate = float(page.get_attribute("#picture", "data-rate"))
        page.keyboard.press(" ")
        page.wait_for_timeout(200)
        before = read(page)
        page.wait_for_timeout(300)
        assert np.array_equal(read(page), before)
        assert int(page.input_value("#seed")) > 7
        print(f"{rate:.0f} pictures a second")
        assert rate > 10  # 30 on two idle cores; tests run beside one another


def test_the_grid_goes_on_and_a_tile_chooses_its_seed(path, model):
    with opened(path, width=390, height=844, has_touch=True, is_mobile=True, color_scheme="dark") as page:
        ready(page)
        for count in (48, 96):
            page.locator("#end").scroll_into_view_if_needed()
            until(page, f"document.getElementById('tiles').childElementCount >= {count}")
        tile = page.locator('#tiles [data-seed="90"]')
        tile.scroll_into_view_if_needed()
        until(page, "document.querySelector('#tiles [data-seed=\"90\"] canvas').width > 0")
        assert near(read(page, '#tiles [data-seed="90"] canvas'), own(model, 90))
        tile.tap()
        assert near(named(page, "seed-90"), own(model, 90))
        assert tile.get_attribute("aria-current") == "true"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_control_has_a_name(path):
    with opened(path) as page:
        ready(page)
        nameless = page.evaluate(
            """[...document.querySelectorAll('button, input, select, [role]')].filter((element) =>
            !(element.ariaLabel || element.labels?.length || element.textContent.trim() || element.hidden))
            .map((element) => element.outerHTML)"""
        )
        assert nameless == []


def test_a_class_is_chosen_by_name(tmp_path):
    model = made(classes=("cats", "dogs"), latent=32)
    with opened(write_web(model, tmp_path / "page.html", "pets"), "#seed=4") as page:
        ready(page)
        assert near(named(page, "seed-4"), own(model, 4))
        page.select_option("#class", "dogs")
        assert near(named(page, "seed-4-changed"), own(model, 4, class_name="dogs"))
