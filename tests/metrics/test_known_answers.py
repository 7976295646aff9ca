"""benchmarks/known_answers.py in small: photographs that were degraded in known ways, through SqueezeNet."""

import importlib.util
from pathlib import Path

import pytest
import torch

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.metrics.closeness import relative_distance
from handful.metrics.diversity import relative_variety
from handful.metrics.features import load_extractor
from handful.metrics.manifold import precision_recall

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "known_answers.py"
ROWS = {
    "fresh": "the other half",
    "recoloured": "recoloured, 10 %",
    "warped": "warped, 3 %",
    "broken": "warped, 6 %",
    "smoothed": "smoothed, 1 px",
    "grain": "noise, 8 grey levels",
    "noise": "noise, 25 grey levels",
    "half": "half of them dropped, the rest twice",
    "tenth": "a tenth of them, ten times",
    "one": "one image again and again",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def features(data, squeezenet_weights) -> dict[str, torch.Tensor]:
    """Features of 40 photographs as training images, and of 40 others, degraded, as samples."""
    spec = importlib.util.spec_from_file_location("known_answers", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    images = load_folder(data / "raccoons", Geometry((64, 64)), most=80).images
    sets = {name: benchmark.FRESH[row](images[1::2].float()) for name, row in ROWS.items()}
    extractor = load_extractor("squeezenet", torch.device("cpu"), squeezenet_weights)
    return {
        name: torch.cat([extractor(batch.round().clamp(0, 255).to(torch.uint8)) for batch in samples.split(8)])
        for name, samples in ({"training": images[::2].float()} | sets).items()
    }


def test_distance_ranks_as_people_would(features):
    distance = {name: relative_distance(features[name], features["training"])[0] for name in ROWS}
    error = relative_distance(features["fresh"], features["training"])[1]
    assert distance["fresh"] == pytest.approx(1, abs=2 * error)
    assert distance["recoloured"] == pytest.approx(1, abs=2 * error)
    assert distance["recoloured"] < distance["warped"] < distance["broken"] < distance["noise"]
    assert distance["grain"] < distance["broken"]
    assert distance["fresh"] < distance["half"] < distance["tenth"] < distance["one"]
    assert relative_distance(features["training"], features["training"])[0] < 0.5


def test_variety_counts_different_images_and_recall_falls_by_blur_as_by_dropping(features):
    variety = {name: relative_variety(features[name], features["training"]) for name in ROWS}
    for name in ("fresh", "recoloured"):
        assert variety[name][0] == pytest.approx(1, abs=2 * variety[name][1])
    assert variety["half"][0] == pytest.approx(0.5, abs=0.1)
    assert variety["tenth"][0] == pytest.approx(0.1, abs=0.05)
    assert variety["one"][0] == pytest.approx(1 / 40, abs=0.01)
    recall = {name: precision_recall(features[name], features["training"])[1] for name in ("fresh", "smoothed", "half")}
    assert recall["smoothed"] < recall["half"] < recall["fresh"]
    assert variety["smoothed"][0] > 0.4
