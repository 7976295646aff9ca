"""The dataset doctor names what is planted in a folder, with its files, and leaves a clean folder alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.cli import main as cli
from handful.config.geometry import Geometry
from handful.config.train import TrainConfig
from handful.data.checkup.examine import Checkup, check, quick_check
from handful.data.checkup.page import CASES_SHOWN, render
from handful.data.checkup.sheet import draw_crop
from handful.data.dataset import load_folder
from handful.errors import UsageError

SIZE = 128


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
    assert reasons["no-image.jpg"].startswith("web page: the download has failed")
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


def test_bars_that_the_crop_takes_away_do_not_count(flowers, folder):
    wide = Image.new("RGB", (2 * SIZE, SIZE))
    wide.paste(flowers[35], (SIZE // 2, 0))
    wide.save(folder / "wide.png")
    assert "bars" not in found(check(folder, SIZE))
    assert found(check(folder, SIZE, "squash"))["bars"] == {"wide.png"}


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


@pytest.mark.slow
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


def test_a_checkup_says_what_it_is_and_shows_itself_in_a_notebook(checkup, spoiled, folder):
    assert repr(checkup).startswith(f"Checkup({spoiled}, 45 images, ")
    assert "warnings" in repr(checkup)
    html = checkup._repr_html_()
    assert "<b>warning</b>" in html
    assert checkup.findings[0].remedy in html
    assert repr(check(folder, SIZE)) == f"Checkup({folder}, 30 images, clean)"
