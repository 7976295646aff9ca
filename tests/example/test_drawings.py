import numpy as np
import pytest
from PIL import Image

from handful.example.flowers import draw, flower


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def pictures():
    return [np.asarray(flower(np.random.default_rng([0, index]), 32), np.float32) / 255 for index in range(40)]


def test_a_picture_depends_on_seed_and_number_alone(tmp_path):
    draw(tmp_path / "few", count=2, size=32, seed=3)
    draw(tmp_path / "more", count=4, size=32, seed=3)
    few, more = bytes_of(tmp_path / "few"), bytes_of(tmp_path / "more")
    assert few == {name: more[name] for name in few}


def test_another_seed_draws_other_pictures(tmp_path):
    draw(tmp_path / "zero", count=3, size=16, seed=0)
    draw(tmp_path / "one", count=3, size=16, seed=1)
    assert not set(bytes_of(tmp_path / "zero").values()) & set(bytes_of(tmp_path / "one").values())


def test_the_folder_is_created_and_holds_as_many_rgb_pictures_as_asked(tmp_path):
    folder = tmp_path / "new" / "flowers"
    draw(folder, count=3, size=24)
    assert sorted(bytes_of(folder)) == ["flower-000.png", "flower-001.png", "flower-002.png"]
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (24, 24))


def test_a_size_changes_how_fine_a_flower_is_and_not_which(pictures):
    large = flower(np.random.default_rng([0, 7]), 64).resize((32, 32), Image.Resampling.BOX)
    assert np.abs(np.asarray(large, np.float32) / 255 - pictures[7]).mean() < 0.02


def test_no_two_flowers_look_alike(pictures):
    flat = np.stack(pictures).reshape(len(pictures), -1)
    apart = np.abs(flat[:, None] - flat[None]).mean(axis=2)[np.triu_indices(len(pictures), 1)]
    assert apart.min() > 0.03
    assert apart.mean() > 0.2


def test_a_flower_stands_out_from_its_corners(pictures):
    for picture in pictures:
        corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
        middle = picture[10:22, 10:22].reshape(-1, 3)
        away = np.abs(middle[:, None] - corners[None]).max(axis=2).min(axis=1)
        assert np.median(away) > 0.1


def test_a_backdrop_is_smooth(pictures):
    for picture in pictures:
        assert np.abs(np.diff(picture[:3, :3], axis=1)).max() < 0.06


def test_a_count_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="count is 0"):
        draw(tmp_path, count=0)


def test_a_size_below_sixteen_is_refused(tmp_path):
    with pytest.raises(ValueError, match="size is 15"):
        draw(tmp_path, size=15)
