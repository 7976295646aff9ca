"""Grey of 10, 12 or 14 bits in 16 is scaled to the full range, for the whole set alike, and the user is told."""

import numpy as np
import pytest
from PIL import Image

from handful.config.geometry import Geometry
from handful.data.checkup.examine import check
from handful.data.dataset import decode_files, load_folder
from handful.data.sources import open_photos
from handful.metrics.samples import open_samples
from handful.progress import shown_on
from notes import Notes
from pictures import SMALL

SHARES = (0.1, 0.5, 1.0)


@pytest.fixture(params=[8, 10, 12, 14, 16])
def bits(request) -> int:
    return request.param


@pytest.fixture
def folder(tmp_path, bits):
    """Three pictures of one grey each, as PNG and TIFF; only the last one reaches white."""
    for index, share in enumerate(SHARES):
        image = Image.fromarray(np.full((16, 16), round(share * (2**bits - 1)), np.uint16))
        image.save(tmp_path / f"{index}.{'tif' if index % 2 else 'png'}")
    return tmp_path


def test_values_are_scaled_by_the_brightest_of_the_set(folder, bits):
    told = Notes()
    with shown_on(told):
        dataset = load_folder(folder, SMALL)
    np.testing.assert_allclose(dataset.images[:, 0, 0, 0], [25, 128, 255], atol=1)
    assert any(f"so they have {bits} bits" in line for line in told.lines) == (bits < 16)


def test_check_says_so_and_calls_none_of_them_dark(folder, bits):
    findings = {finding.kind: finding for finding in check(folder, 32).findings}
    assert ("grey-bits" in findings) == (bits < 16)
    assert not {"dark", "unreadable"} & set(findings)
    if bits < 16:
        assert f"3 images hold {bits}-bit grey in 16 bits" in findings["grey-bits"].what


def test_pictures_that_are_scored_are_scaled_alike_whatever_the_batch(folder, bits, monkeypatch):
    monkeypatch.setattr("handful.metrics.samples.BATCH", 1)
    samples = open_samples(folder, 10, None, "crop", "cpu")
    greys = [int(batch[0, 0, 0, 0]) for batch in samples.stream()]
    np.testing.assert_allclose(greys, [25, 128, 255], atol=1)


def test_bits_can_be_given(folder):
    photos = open_photos(folder)
    images, _ = decode_files(photos, photos.files, Geometry((8, 8)), bits=16)
    assert images.max() == round((max(SHARES) * np.asarray(Image.open(folder / "2.png")).max()) / 257)
