"""Pictures that several tests of image sets share."""

import pytest
from PIL import Image

from handful.example.flowers import draw


@pytest.fixture(scope="session")
def flowers(tmp_path_factory) -> list[Image.Image]:
    """Forty different pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    draw(folder, 40, 128)
    return [Image.open(file).convert("RGB") for file in sorted(folder.iterdir())]
