"""Films have the colours of their pictures in every player."""

import pytest
from PIL import Image

from handful.images.video import write_video

# Luma of BT.709 in the range 16 to 235: 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B).
LUMA = {(255, 0, 0): 63, (0, 200, 60): 143, (40, 60, 220): 74}


@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("colour", LUMA)
def test_a_film_is_encoded_and_tagged_as_bt_709(tmp_path, ending, colour):
    av = pytest.importorskip("av")
    write_video(tmp_path / f"film.{ending}", iter([Image.new("RGB", (64, 64), colour)] * 2), 24.0)
    with av.open(str(tmp_path / f"film.{ending}")) as container:
        context = container.streams.video[0].codec_context
        luma = int(next(container.decode(video=0)).to_ndarray(format="yuv420p")[10, 10])
        tags = context.colorspace, context.color_primaries, context.color_trc, context.color_range
    assert luma == pytest.approx(LUMA[colour], abs=1)
    assert tags == (1, 1, 1, 1)
