"""Sets from which nothing can be learned are refused before step 1; two images are trained on."""

import numpy as np
import pytest
from PIL import Image
from small_runs import log_of, small

from handful.errors import UsageError
from handful.progress import Quiet
from handful.training.loop import train
from notes import Notes


def folder_of(tmp_path, images, **options):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, image in enumerate(images):
        image.save(folder / f"{index}.png", **options)
    return folder


def drawn(seed, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, len(mode)), np.uint8)
    return Image.fromarray(pixels).resize((32, 32))


SWATCHES = [Image.new("RGB", (40, 40), (20 * index, 255 - 20 * index, 7)) for index in range(12)]
CLEAR = [Image.new("RGBA", (40, 40), (20 * index, 9, 7, 0)) for index in range(12)]


@pytest.mark.parametrize(
    ("images", "channels", "said"),
    [
        (SWATCHES, 3, "each image is one colour all over"),
        ([Image.new("RGB", (40, 40))] * 3, 3, "each image is one colour all over"),
        ([Image.new("L", (40, 40), 40 * index) for index in range(4)], 1, "each image is one colour all over"),
        (CLEAR, 4, "all images are fully transparent"),
        (CLEAR, 3, "each image is one colour all over"),
        ([drawn(0)] * 4, 3, "all images are the same picture"),
    ],
)
def test_a_set_that_shows_nothing_is_refused_before_the_first_step(tmp_path, images, channels, said):
    config = small(folder_of(tmp_path, images), tmp_path / "run", channels=channels)
    with pytest.raises(UsageError, match=f"photos: {said}, so there is nothing to learn") as error:
        train(config, Quiet())
    assert "learning" not in str(error.value)
    assert not (config.folder / "config.json").exists()


def test_one_image_that_shows_something_is_enough(tmp_path):
    train(small(folder_of(tmp_path, [*SWATCHES[:3], drawn(0)]), tmp_path / "run", steps=1), Quiet())


def test_two_images_train_to_the_end_without_scores_and_with_a_word_why(tmp_path):
    config = small(folder_of(tmp_path, [drawn(0), drawn(1)]), tmp_path / "run", steps=2, score_every=1)
    train(config, notes := Notes())
    assert "the run is not scored: scores need at least 3 images, and there are 2" in notes.lines
    assert [line["step"] for line in log_of(config)] == [1, 2]
    assert (config.folder / "model" / "model.safetensors").exists()


def test_three_images_are_scored(tmp_path):
    config = small(folder_of(tmp_path, map(drawn, range(3))), tmp_path / "run", steps=1, score_every=1)
    train(config, Quiet())
    assert "kid" in log_of(config)[0]
