import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful.config import sizes
from handful.config.generator import GeneratorConfig
from handful.config.sizes import all_sizes, base_of, bases, map_shape, nearest, nominal_of, parse, spelled, suitable
from handful.config.train import TrainConfig
from handful.errors import UsageError

SIDES = st.integers(1, 6000)


@pytest.mark.parametrize(
    ("size", "shape", "base", "nominal"),
    [
        (256, (256, 256), (4, 4), 256),
        (1024, (1024, 1024), (4, 4), 1024),
        (4096, (4096, 4096), (4, 4), 4096),
        ("96x64", (64, 96), (4, 6), 64),
        ("768x512", (512, 768), (4, 6), 512),
        ("64*96", (96, 64), (6, 4), 64),
        (" 48 x 32 ", (32, 48), (4, 6), 32),
        (96, (96, 96), (3, 3), 128),
        (160, (160, 160), (5, 5), 128),
        ("1280x720", None, None, None),
    ],
)
def test_a_size_has_its_base_map(size, shape, base, nominal):
    if shape is None:
        with pytest.raises(UsageError, match="the nearest is 1280x768"):
            parse(size)
        return
    assert parse(size) == shape
    assert base_of(shape) == base
    assert nominal_of(shape) == nominal
    assert map_shape(base, nominal) == shape
    assert map_shape(base, 4) == base


@given(SIDES, SIDES)
def test_every_size_is_met_exactly_or_refused_with_one_that_is(height, width):
    text = f"{width}x{height}"
    try:
        shape = parse(text)
    except UsageError as error:
        found = re.search(r"the nearest is (\S+)$", str(error))
        assert found is not None
        assert bases(parse(found[1]))
        assert not bases((height, width))
        return
    assert shape == (height, width)
    for rows, columns in bases(shape):
        assert rows in sizes.CELLS
        assert columns in sizes.CELLS
        scale = shape[0] // rows
        assert (rows * scale, columns * scale) == shape
        assert math.log2(scale).is_integer()


def test_sizes_are_written_as_they_are_read_and_all_have_a_network_from_32_to_4096():
    found = all_sizes()
    assert (32, 32) in found
    assert (2048, 2048) in found
    assert (2048, 3072) in found
    for shape in found:
        assert parse(spelled(shape)) == shape
        config = GeneratorConfig(size=spelled(shape))
        assert (config.shape, config.base) == (shape, base_of(shape))
        assert 32 <= config.nominal <= 4096
        assert min(shape) >= 32


@given(st.sampled_from(all_sizes()))
def test_the_nearest_size_to_one_that_there_is_is_that_one(shape):
    assert nearest(*shape) == shape


@pytest.mark.parametrize("size", ["", "large", "-5", "12.5", "3x", "x4", "1x2x3", "0x64"])
def test_what_is_no_size_is_refused_by_the_name_of_the_option(size):
    with pytest.raises(UsageError, match=re.escape(f"size {size}")):
        parse(size)


@pytest.mark.parametrize(
    ("sizes", "most", "chosen"),
    [
        ([(3000, 4000)] * 9, 256, "256x192"),
        ([(3000, 4000)] * 9, 1024, "1024x768"),
        ([(4000, 3000)] * 9, 1024, "768x1024"),
        ([(72, 72)] * 9, 256, "64"),
        ([(72, 72)] * 9, 1024, "64"),
        ([(500, 500)] * 9 + [(20, 2000)] * 2, 256, "256"),
        ([(512, 768)], 512, "768x512"),
        ([(600, 300)], 128, "96x192"),
        ([(20, 20)], 256, "32"),
    ],
)
def test_the_size_that_suits_a_folder_has_its_proportions_and_does_not_enlarge_much(sizes, most, chosen):
    assert spelled(suitable(sizes, most)) == chosen


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=9), st.sampled_from([64, 256, 1024]))
def test_some_size_suits_any_folder(sizes, most):
    height, width = suitable(sizes, most)
    assert bases((height, width))
    assert height * width <= 2 * most**2


def test_a_size_is_kept_in_one_spelling():
    assert TrainConfig("photos", size="96 x 64").size == "96x64"
    assert TrainConfig("photos", size="64x64").size == 64
    assert TrainConfig("photos", size="auto").size == "auto"


@pytest.mark.parametrize("size", ["9" * 5000, "9" * 5000 + "x64", 10**5000], ids=["side", "width", "number"])
def test_a_size_of_thousands_of_digits_is_refused_in_a_line(size):
    with pytest.raises(UsageError, match="give pixels, such as 256") as caught:
        parse(size)
    assert len(str(caught.value)) < 300
