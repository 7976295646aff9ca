"""Near duplicates, bars and outliers are found, and what only looks like them is not."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from handful.data.checkup.bars import find_bars
from handful.data.checkup.inspection import preview_of
from handful.data.checkup.near_duplicates import find_near_duplicates
from handful.data.checkup.outliers import find_outliers
from handful.data.checkup.size_rules import better_size
from handful.example.flowers import flower

SIZE = 128


def test_pictures_that_differ_in_colour_alone_are_no_duplicates():
    def face(colour: str) -> Image.Image:
        image = Image.new("RGBA", (SIZE, SIZE))
        ImageDraw.Draw(image).ellipse((8, 8, 120, 120), fill=colour)
        return image

    # The three have one luma, to a level.
    colours = ("#b40000", "#005c00", "#3636ff")
    stack = np.stack([preview_of("", face(colour)).thumbnail for colour in colours])
    assert find_near_duplicates(stack) == []
    assert len(find_near_duplicates(np.concatenate([stack, stack[:1]]))) == 1


def test_faces_with_another_mouth_are_no_duplicates():
    def face(smile: bool) -> Image.Image:
        image = Image.new("RGB", (SIZE, SIZE), "white")
        pen = ImageDraw.Draw(image)
        pen.ellipse((8, 8, 120, 120), fill="gold")
        pen.arc((40, 60, 88, 100), 0 if smile else 180, 180 if smile else 360, fill="black", width=7)
        return image

    assert find_near_duplicates(np.stack([preview_of("", face(smile)).thumbnail for smile in (True, False)])) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=30))
def test_copies_in_any_order_are_grouped_with_their_originals(copies):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 4), dtype=np.uint8)
    pictures = np.kron(pictures, np.ones((1, 8, 8, 1), np.uint8))
    stack = np.stack([pictures[index, :, ::-1] if mirrored else pictures[index] for index, mirrored in copies])
    expected: dict[int, list[int]] = {}
    for place, (index, _) in enumerate(copies):
        expected.setdefault(index, []).append(place)
    groups = {tuple(group) for group in expected.values() if len(group) > 1}
    assert {group.members for group in find_near_duplicates(stack)} == groups
    for group in find_near_duplicates(stack):
        assert group.is_mirrored == (len({copies[place][1] for place in group.members}) == 2)


def test_hundreds_of_near_duplicates_are_one_group():
    stack = np.broadcast_to(preview_of("", flower(np.random.default_rng(0), 64)).thumbnail, (700, 32, 32, 4))
    (group,) = find_near_duplicates(stack)
    assert group.members == tuple(range(700))


def test_a_plain_background_and_a_fading_sky_are_no_bars(flowers):
    icon = Image.new("RGB", (SIZE, SIZE), "white")
    ImageDraw.Draw(icon).ellipse((20, 20, 108, 108), fill="navy")
    assert find_bars(np.asarray(icon)).share == 0
    sky = np.tile(np.linspace(255, 0, SIZE).clip(0, 235)[:, None, None], (1, SIZE, 3)).astype(np.uint8)
    assert find_bars(sky).share == 0
    assert find_bars(np.full((SIZE, SIZE, 3), 9, np.uint8)).share == 0
    assert all(find_bars(np.asarray(picture)).share == 0 for picture in flowers)


def test_frames_and_bars_at_the_sides_are_found(flowers):
    frame = Image.new("RGB", (SIZE, SIZE), "white")
    frame.paste(flowers[2].resize((108, 88)), (10, 20))
    assert str(find_bars(np.asarray(frame))) == "top 16%, bottom 16%, left 8%, right 8%"
    pillars = Image.new("RGB", (SIZE, SIZE))
    pillars.paste(flowers[0].resize((96, SIZE)), (16, 0))
    assert str(find_bars(np.asarray(pillars))) == "left 12%, right 12%"


def test_four_strangers_of_one_kind_do_not_hide_each_other(flowers):
    random = np.random.default_rng(0)
    strangers = [Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(4)]
    stack = np.stack([preview_of("", picture).thumbnail for picture in (*flowers, *strangers)])
    assert sorted(find_outliers(stack)) == [40, 41, 42, 43]


def test_another_shape_is_named_where_it_keeps_much_more():
    finding = better_size([(400, 600)] * 5, (256, 256))
    assert finding is not None
    assert finding.what == "a typical image loses 33% to the crop to 256 x 256 px"
    assert "With --size 384x256 it would lose 0%, at 1.5 times the pixels" in finding.remedy
    assert better_size([(400, 600)] * 5, (256, 384)) is None
    assert better_size([(300, 300)] * 5, (256, 256)) is None
