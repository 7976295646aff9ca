"""The dataset doctor names what is planted in a folder, with its files, and leaves a clean folder alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from handful.cli import main as cli
from handful.config.geometry import Geometry
from handful.config.train import TrainConfig
from handful.data.checkup.bars import find_bars
from handful.data.checkup.examine import Checkup, check, quick_check
from handful.data.checkup.inspection import preview_of
from handful.data.checkup.near_duplicates import find_near_duplicates
from handful.data.checkup.outliers import find_outliers
from handful.data.checkup.page import CASES_SHOWN, render
from handful.data.checkup.sheet import draw_crop
from handful.data.checkup.size_rules import better_size
from handful.data.dataset import load_folder
from handful.errors import UsageError
from handful.example.flowers import draw, flower

SIZE = 128


@pytest.fixture(scope="session")
def flowers(tmp_path_factory) -> list[Image.Image]:
    """Forty different pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    draw(folder, 40, SIZE)
    return [Image.open(file).convert("RGB") for file in sorted(folder.iterdir())]


@pytest.fixture
def folder(flowers, tmp_path) -> Path:
    """A clean folder of thirty."""
    for index, picture in enumerate(flowers[:30]):
        picture.save(tmp_path / f"flower-{index:02d}.png")
    return tmp_path


@pytest.fixture(scope="session")
def spoiled(flowers, tmp_path_factory) -> Path:
    """A folder with one fault of each kind, in files that bear its name, and thirty good pictures."""
    folder = tmp_path_factory.mktemp("spoiled")
    for index, picture in enumerate(flowers[:30]):
        picture.save(folder / f"flower-{index:02d}.png")
    whole = (folder / "flower-00.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "no-image.jpg").write_text("<html>404</html>")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("buy milk")
    (folder / "phone.heic").write_bytes(b"anything")
    (folder / "copy").mkdir()
    (folder / "copy" / "same-as-01.png").write_bytes((folder / "flower-01.png").read_bytes())
    flowers[2].resize((90, 90)).save(folder / "rescaled-02.jpg", quality=40)
    flowers[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored-03.png")
    flowers[36].resize((40, 40)).save(folder / "small.png")
    flowers[31].resize((128 * 4, 128)).save(folder / "wide.png")
    flowers[30].resize((128, 256)).save(folder / "tall.png")
    Image.new("RGB", (SIZE, SIZE), "teal").save(folder / "blank.png")
    letterboxed = Image.new("RGB", (SIZE, SIZE))
    letterboxed.paste(flowers[32].resize((SIZE, 96)), (0, 16))
    letterboxed.save(folder / "letterboxed.jpg")
    flowers[33].convert("L").save(folder / "grey.png")
    cut_out = flowers[34].convert("RGBA")
    cut_out.putalpha(Image.new("L", (SIZE, SIZE), 0))
    cut_out.paste(flowers[34], (30, 30))
    cut_out.save(folder / "transparent.png")
    flowers[35].save(folder / "animated.gif", save_all=True, append_images=[flowers[30]])
    exif = Image.Exif()
    exif[0x0112] = 6
    flowers[37].save(folder / "turned.jpg", exif=exif)
    flowers[38].convert("CMYK").save(folder / "printed.jpg")
    flowers[39].point(lambda value: value // 8).save(folder / "dark.png")
    squares = (np.indices((SIZE, SIZE)) // 8).sum(axis=0) % 2
    Image.fromarray((squares[..., None] * (255, 0, 255)).astype(np.uint8)).save(folder / "test-card.png")
    return folder


def found(checkup: Checkup) -> dict[str, set[str]]:
    return {finding.kind: {name for case in finding.cases for name in case.files} for finding in checkup.findings}


def detail(checkup: Checkup, kind: str) -> dict[str, str]:
    (finding,) = [finding for finding in checkup.findings if finding.kind == kind]
    return {case.files[0]: case.detail for case in finding.cases}


# Planted faults


@pytest.fixture(scope="session")
def checkup(spoiled) -> Checkup:
    return check(spoiled, SIZE)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("unreadable", {"truncated.png", "no-image.jpg", "empty.png"}),
        ("not-pictures", {"notes.txt"}),
        ("unread-formats", {"phone.heic"}),
        ("duplicates", {"flower-01.png", "copy/same-as-01.png"}),
        ("near-duplicates", {"flower-02.png", "rescaled-02.jpg", "flower-03.png", "mirrored-03.png"}),
        ("small", {"small.png"}),
        ("proportions", {"wide.png"}),
        ("cropped", {"tall.png"}),
        ("blank", {"blank.png"}),
        ("bars", {"letterboxed.jpg"}),
        ("mixed-colour", {"grey.png"}),
        ("mixed-transparency", {"transparent.png"}),
        ("animated", {"animated.gif"}),
        ("turned", {"turned.jpg"}),
        ("converted", {"printed.jpg"}),
        ("dark", {"dark.png"}),
    ],
)
def test_each_planted_fault_is_named_with_its_files_and_no_others(checkup, kind, names):
    assert found(checkup)[kind] == names


def test_a_test_card_among_flowers_is_worth_a_look(checkup):
    assert "test-card.png" in found(checkup)["outliers"]
    assert not any(name.startswith("flower") for name in found(checkup)["outliers"])


def test_reasons_and_figures_stand_beside_the_files(checkup):
    reasons = detail(checkup, "unreadable")
    assert reasons["truncated.png"] == "truncated"
    assert reasons["empty.png"] == "empty file"
    assert reasons["no-image.jpg"] == "not an image Pillow can read"
    assert detail(checkup, "small") == {"small.png": "40 x 40, enlarged 3.2 times"}
    assert detail(checkup, "proportions") == {"wide.png": "512 x 128, 25% is kept"}
    assert detail(checkup, "bars") == {"letterboxed.jpg": "top 12%, bottom 12%"}
    assert detail(checkup, "duplicates") == {"copy/same-as-01.png": "in different folders"}
    assert detail(checkup, "near-duplicates") == {"flower-02.png": "", "flower-03.png": "mirrored"}


def test_the_gravest_come_first_and_every_finding_says_what_to_do(checkup):
    severities = [finding.severity for finding in checkup.findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert all(finding.remedy for finding in checkup.findings)
    assert checkup.trainable
    assert not checkup.clean


def test_a_folder_with_warnings_ends_with_zero_and_says_what_and_where(spoiled, tmp_path, capsys):
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.png"
    arguments = ["check", str(spoiled), "--size", str(SIZE), "--html", str(page), "--sheet", str(sheet)]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    for part in ("truncated.png (truncated)", "flower-03.png = mirrored-03.png (mirrored)", "Can be trained on"):
        assert part in said
    html = page.read_text(encoding="utf-8")
    assert "letterboxed.jpg" in html
    assert 'src="data:image/webp' in html
    assert "http" not in html.replace("http-equiv", "")
    with Image.open(sheet) as image:
        assert image.width > SIZE


def test_json_has_all_files(spoiled, capsys):
    assert cli.main(["check", str(spoiled), "--size", str(SIZE), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["trainable"]
    assert not answer["clean"]
    assert answer["channels"] == 3
    kinds = {finding["kind"]: finding for finding in answer["findings"]}
    assert len(kinds["unreadable"]["cases"]) == 3
    assert kinds["blank"]["cases"] == [{"files": ["blank.png"], "detail": ""}]


# Clean folders, and what cannot be trained on


def test_a_clean_folder_is_said_to_be_clean(folder, capsys):
    assert check(folder, SIZE).findings == ()
    assert cli.main(["check", str(folder), "--size", str(SIZE)]) == 0
    assert "Clean: nothing found" in capsys.readouterr().out


def test_a_folder_with_one_picture_or_none_cannot_be_trained_on(flowers, tmp_path, capsys):
    (tmp_path / "notes.heic").write_text("")
    assert cli.main(["check", str(tmp_path)]) == 1
    flowers[0].save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("")
    page, sheet = tmp_path / "out" / "page.html", tmp_path / "out" / "sheet.png"
    assert cli.main(["check", str(tmp_path), "--html", str(page), "--sheet", str(sheet)]) == 1
    said = capsys.readouterr()
    assert "training needs at least 2" in said.out
    assert "b.png (empty file)" in said.out
    assert "cannot be trained on" in said.err
    assert page.exists()
    assert sheet.exists()


def test_a_folder_that_is_not_there_and_a_size_that_cannot_be_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="check the path"):
        check(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="the nearest is"):
        check(folder, 100)


def test_few_images_are_warned_of(flowers, tmp_path):
    for index in range(5):
        flowers[index].save(tmp_path / f"{index}.png")
    assert [finding.what for finding in check(tmp_path, SIZE).findings] == ["only 5 images to learn from"]


def test_images_that_are_nearly_all_the_same_are_said_to_be(flowers, tmp_path):
    random = np.random.default_rng(0)
    base = np.asarray(flowers[0]).astype(float)
    for index in range(20):
        spot = np.zeros_like(base)
        row, column = random.integers(0, SIZE - 40, 2)
        spot[row : row + 40, column : column + 40] = 20
        Image.fromarray((base + spot).clip(0, 255).astype(np.uint8)).save(tmp_path / f"{index}.png")
    assert "variety" in found(check(tmp_path, SIZE))


# Near duplicates


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


# Bars, outliers, shapes


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


def test_bars_that_the_crop_takes_away_do_not_count(flowers, folder):
    wide = Image.new("RGB", (2 * SIZE, SIZE))
    wide.paste(flowers[35], (SIZE // 2, 0))
    wide.save(folder / "wide.png")
    assert "bars" not in found(check(folder, SIZE))
    assert found(check(folder, SIZE, "squash"))["bars"] == {"wide.png"}


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


def test_the_crop_is_drawn_where_it_is(flowers):
    wide = Image.new("RGBA", (180, 90), "navy")
    drawn = np.asarray(draw_crop(wide, Geometry((64, 64)))).astype(int)
    assert drawn.shape == (90, 180, 3)
    assert (drawn[45, 5] > 100).all()
    assert drawn[45, 90].tolist() == [0, 0, 128]
    assert np.asarray(draw_crop(wide, Geometry((64, 64), fit="squash")))[45, 5].tolist() == [0, 0, 128]


def test_names_from_files_are_text_on_the_page(folder):
    (folder / "<b>&.png").write_bytes(b"")
    for index in range(CASES_SHOWN + 1):
        (folder / f"empty-{index}.png").write_bytes(b"")
    html = render(check(folder, SIZE))
    assert "&lt;b&gt;&amp;.png" in html
    assert "<b>" not in html
    assert "2 more" in html


# In a run, and on real sets


def test_a_run_is_told_in_brief(spoiled):
    dataset = load_folder(spoiled, Geometry((64, 64)))
    kinds = {finding.kind for finding in quick_check(dataset, TrainConfig(spoiled, size=64))}
    assert {"near-duplicates", "blank", "bars", "outliers"} <= kinds


def test_real_sets_have_the_faults_that_eyes_can_see(data):
    known = {
        "cells": {"near-duplicates": {"0035.jpg", "0036.jpg"}, "outliers": {"0140.jpg", "0151.jpg"}},
        "emoji": {"outliers": {"1fae5.png", "1f976.png"}},
        "raccoons": {
            "near-duplicates": {f"raccoon-{number}-0.jpg" for number in (50, 52, 74)},
            "bars": {"raccoon-6-0.jpg"},
            "mixed-colour": {"raccoon-152-0.jpg", "raccoon-161-0.jpg"},
        },
    }
    for name, faults in known.items():
        assert found(check(data / name)) == faults
