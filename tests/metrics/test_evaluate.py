"""handful evaluate: known answers, what it refuses, and what it does without a file that it needs."""

import dataclasses
import hashlib
import json
import math
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.errors import MissingWeightsError, UsageError, WeightsError
from handful.metrics import evaluation, gather, reference, wasserstein
from handful.metrics.distances import fid, kid
from handful.metrics.evaluation import evaluate
from handful.metrics.features import Extractor, load_extractor
from handful.metrics.measure import COMPARED
from handful.metrics.protocol import PROTOCOLS
from handful.metrics.scores import SPECS, Scores
from handful.metrics.table import table
from handful.networks.generator import Generator, initialise
from handful.networks.pretrained import weights
from handful.networks.pretrained.inception import Inception
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Quiet, shown_on
from handful.sampling.load import load
from handful.sampling.model import Model

KEYS = "samples reference protocol features kid kid_error fid precision recall density coverage"
KEYS += " diversity swd copies novelty"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No cache and no weight files of this machine, no network, few patches."""
    monkeypatch.setenv("HANDFUL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the network was used"))
    # Of 16,384 patches a level, which take most of an evaluation of a few small images; test_distances has them all.
    monkeypatch.setattr(wasserstein, "PATCHES", 512)


def draw_folder(folder: Path, count: int, first: int = 0, size: int = 32) -> Path:
    folder.mkdir(parents=True)
    for index in range(first, first + count):
        random = np.random.default_rng(index)
        pixels = np.zeros((size, size, 3), np.uint8) + random.integers(0, 255, 3, np.uint8)
        left, top = random.integers(2, size // 2, 2)
        pixels[top : top + size // 2, left : left + size // 3] = random.integers(0, 255, 3, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_folder(tmp_path / "photos", 20)


def network(seed: int = 0) -> Generator:
    made = Generator(GeneratorConfig(size=32, width=8))
    initialise(made, torch.Generator().manual_seed(seed))
    return made.eval()


@pytest.fixture
def model(tmp_path) -> Path:
    Model(network()).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_against_itself_is_at_no_distance_and_all_copies(photos):
    result = evaluate(photos, photos, progress=Quiet())
    assert result.scores.fid == pytest.approx(0, abs=1e-9)
    assert result.scores.swd == 0
    assert (
        result.scores.kid <= result.scores.kid_error
    )  # below 0: each image meets itself, which two samples of a kind never do
    assert (result.scores.precision, result.scores.recall, result.scores.coverage, result.scores.spread) == (1, 1, 1, 1)
    assert result.scores.copies == 1
    assert result.scores.novelty < 0.05
    assert result.copying.copies_among_training <= 0.2  # of rectangles, which are moved and zoomed ones of each other
    assert [each["sample"] for each in result.copying.closest] == [each["training"] for each in result.copying.closest]


def test_two_halves_of_real_images_are_at_no_distance_within_the_error(data, tmp_path, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "quick", dataclasses.replace(PROTOCOLS["quick"], samples=1000))
    halves = tmp_path / "a", tmp_path / "b"
    for half in halves:
        half.mkdir()
    for place, file in enumerate(sorted((data / "cells").iterdir())):
        (halves[place % 2] / file.name).symlink_to(file.resolve())
    result = evaluate(*halves, size=64, progress=Quiet())
    assert abs(result.scores.kid) <= result.scores.kid_error
    assert result.scores.distance == pytest.approx(1, abs=2 * result.scores.distance_error)
    assert result.scores.variety == pytest.approx(1, abs=2 * result.scores.variety_error)
    assert result.scores.copies <= 0.03  # some show the same cells
    assert result.scores.spread == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_a_user_gets_scores_through_a_network_that_has_seen_photos(photos):
    command = [sys.executable, "-m", "handful", "evaluate", str(photos), str(photos), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["protocol"], answer["features"]) == ("quick", "efficientnet")
    assert answer["kid"] <= answer["kid_error"]
    assert (answer["fid"], answer["recall"], answer["copies"]) == (pytest.approx(0, abs=1e-9), 1, 1)


def test_json_has_every_key_and_no_number_that_json_does_not_know(photos, capsys):
    assert cli.main(["evaluate", str(photos), str(photos), "--json", "--compare", str(photos)]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(text))
    for key in KEYS.split():
        assert key in answer
        assert answer[key] is not None or answer["why"][key]
    assert answer["samples"] == 20
    assert answer["copies"] == 1
    assert answer["compare"][0]["kid"] == answer["kid"]


def test_equal_images_do_not_break_json(tmp_path, photos, capsys):
    same = tmp_path / "same"
    same.mkdir()
    for index in range(12):
        Image.new("RGB", (32, 32), "teal").save(same / f"{index}.png")
    assert cli.main(["evaluate", str(photos), str(same), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(text))
    assert answer["novelty"] == pytest.approx(1, abs=0.01)  # all are equally far
    assert answer["spread"] is None
    assert "not finite" in answer["why"]["spread"]


def test_a_generator_is_scored_the_same_each_time(model, photos):
    first, again = (evaluate(model, photos, progress=Quiet()).to_json() | {"seconds": 0} for _ in range(2))
    assert first == again
    assert first["seeds"] == "0-23"
    assert first["samples"] == 24
    assert 0 < first["path_length"] < math.inf


def test_a_generator_and_the_folder_of_its_pictures_have_the_same_scores(model, photos, tmp_path):
    out = tmp_path / "out"
    assert cli.main(["generate", str(model), "--seeds", "0-23", "--out", str(out)]) == 0
    drawn, taken = (evaluate(source, photos, progress=Quiet()) for source in (model, out))
    for key in ("kid", "fid", "precision", "recall", "density", "coverage", "swd", "copies", "novelty"):
        assert getattr(drawn.scores, key) == pytest.approx(getattr(taken.scores, key), rel=1e-9)
    assert taken.scores.path_length is None
    assert taken.why["path_length"] == "a folder of images has no latent space"


def test_a_held_out_folder_shows_what_a_perfect_generator_could_reach(photos, tmp_path):
    unseen = draw_folder(tmp_path / "unseen", 15, first=100)
    held = evaluate(photos, photos, holdout=unseen, progress=Quiet()).holdout
    assert held.images == 15
    assert held.copies <= 0.2
    assert abs(held.kid_to_training) < 4 * held.kid_to_training_error


def test_a_missing_weight_file_costs_the_scores_that_need_it_and_no_others(photos, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    result = evaluate(photos, photos, protocol="5k-train", progress=Quiet())
    for key in ("kid", "fid", "precision", "recall", "density", "coverage", "diversity"):
        assert getattr(result.scores, key) is None
    assert "pt_inception-2015-12-05-6726825d.pth" in result.why["fid"]
    assert "--weights" in result.why["kid"]
    assert "vgg16" in result.why["diversity"]
    assert result.scores.swd == 0
    assert result.scores.copies == 1


def test_a_damaged_weight_file_is_an_error(photos, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"cut short")
    with pytest.raises(WeightsError, match="SHA-256") as caught:
        evaluate(photos, photos, features="inception", weights=tmp_path / "weights", progress=Quiet())
    assert not isinstance(caught.value, MissingWeightsError)


def test_a_quick_evaluation_downloads_nothing(photos):
    result = evaluate(photos, photos, progress=Quiet())
    assert result.scores.diversity is None
    assert "downloads are off" in result.why["diversity"]


@pytest.fixture
def second_network(monkeypatch) -> Extractor:
    """Has every seventh feature of the first one, in place of SqueezeNet."""
    first = load_extractor("random", CPU)
    second = Extractor("squeezenet", lambda images: first.function(images)[:, ::7], CPU)
    monkeypatch.setattr(evaluation, "load_second", lambda *_: (second, ""))
    return second


def test_a_second_network_gives_the_scores_that_it_gives_as_the_first(photos, tmp_path, monkeypatch, second_network):
    others = draw_folder(tmp_path / "others", 20, first=40)
    both = evaluate(others, photos, progress=Quiet())
    assert both.setup.features == "random"
    monkeypatch.setattr(evaluation, "load_extractor", lambda *_: second_network)
    alone = evaluate(others, photos, progress=Quiet())
    for name in COMPARED:
        assert getattr(both.scores, f"squeezenet_{name}") == getattr(alone.scores, name)
        assert getattr(both.scores, name) != getattr(alone.scores, name)


def test_without_the_second_network_the_reason_is_how_to_get_it(photos):
    result = evaluate(photos, photos, progress=Quiet())
    reason = result.why["squeezenet_distance"]
    assert "squeezenet1_0-deep-compression.net is missing" in reason
    assert "https://github.com/songhan/" in reason
    assert reason.endswith("Or run handful evaluate once with --features squeezenet.")
    assert result.scores.squeezenet_kid is None


def test_squeezenet_is_no_second_network_beside_itself(photos, squeezenet_weights):
    result = evaluate(photos, photos, features="squeezenet", weights=squeezenet_weights, progress=Quiet())
    assert result.setup.features == "squeezenet"
    assert result.scores.distance == 0
    assert result.why["squeezenet_distance"] == "the scores without this prefix are SqueezeNet's already"


def make_bad(kind: str, folder: Path) -> Path:
    if kind == "few":
        return draw_folder(folder, 9)
    draw_folder(folder, 12)
    if kind == "sizes":
        Image.new("RGB", (40, 40)).save(folder / "other.png")
    if kind == "broken":
        (folder / "003.png").write_bytes((folder / "003.png").read_bytes()[:60])
    if kind == "empty":
        for file in folder.iterdir():
            file.unlink()
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("few", r"has 9 images, but scores need at least 10"),
        ("sizes", r"12 of 32 x 32 \(such as 000.png\), 1 of 40 x 40 \(such as other.png\); give size"),
        ("broken", r"003.png"),
        ("empty", r"neither a trained generator nor images"),
    ],
)
def test_samples_that_do_not_do_are_refused(kind, message, photos, tmp_path):
    with pytest.raises(UsageError, match=message):
        evaluate(make_bad(kind, tmp_path / "bad"), photos, progress=Quiet())


@pytest.mark.parametrize("size", [None, 32])
def test_all_bad_images_of_a_folder_are_named_at_once(photos, tmp_path, size, monkeypatch):
    monkeypatch.setattr("handful.metrics.samples.BATCH", 2)
    folder = draw_folder(tmp_path / "bad", 24)
    bad = (2, 9, 10, 23)
    for index in bad:
        whole = (folder / f"{index:03d}.png").read_bytes()
        (folder / f"{index:03d}.png").rename(folder / f"x{index}.png")
        (folder / f"x{index}.png").write_bytes(whole[:10] if size is None else whole[:-30])
    with pytest.raises(UsageError, match="4 images cannot be read; remove or repair") as caught:
        evaluate(folder, photos, size=size, progress=Quiet())
    names = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert names == [f"x{index}.png" for index in bad]


def test_images_of_several_sizes_are_compared_at_the_size_that_is_given(photos, tmp_path):
    mixed = make_bad("sizes", tmp_path / "mixed")
    result = evaluate(mixed, photos, size=16, progress=Quiet())
    assert result.setup.size == 16
    assert result.setup.samples == 13


def test_images_that_are_too_small_to_compare_are_refused(photos):
    with pytest.raises(UsageError, match="images of 8 px are too small to score; use at least 16 px"):
        evaluate(photos, photos, size=8, progress=Quiet())


def test_too_few_training_images_are_refused(photos, tmp_path):
    with pytest.raises(UsageError, match="has 9 images"):
        evaluate(photos, draw_folder(tmp_path / "nine", 9), progress=Quiet())


def test_a_size_that_the_generator_does_not_draw_is_refused(model, photos):
    with pytest.raises(UsageError, match=r"size 64: .* draws images of 32 px"):
        evaluate(model, photos, size=64, progress=Quiet())


def test_a_generator_with_numbers_that_are_not_finite_is_refused(tmp_path, photos):
    damaged = network()
    next(damaged.parameters()).data.fill_(math.nan)
    Model(damaged).save(tmp_path / "model")
    with pytest.raises(UsageError, match="not finite"):
        evaluate(tmp_path / "model", photos, progress=Quiet())


def test_of_a_large_folder_images_are_taken_evenly(photos, tmp_path):
    many = draw_folder(tmp_path / "many", 48, first=200)
    result = evaluate(many, photos, progress=Quiet())
    assert result.setup.samples == 24
    names = {pair["sample"] for pair in result.copying.closest}
    assert names <= {f"{200 + 2 * index}.png" for index in range(24)}
    assert sum(pair["sharing"] for pair in result.copying.closest) == 24


def test_each_training_image_stands_once_among_the_closest_with_how_many_samples_share_it(photos, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for index in range(12):
        shutil.copy(photos / f"{index % 3:03d}.png", copies / f"{index:02d}.png")
    closest = evaluate(copies, photos, progress=Quiet()).copying.closest
    assert {pair["training"]: pair["sharing"] for pair in closest} == {f"{index:03d}.png": 4 for index in range(3)}
    assert len(closest) == 3
    pairs = evaluate(photos, copies, progress=Quiet()).copying.closest
    assert {pair["sample"] for pair in pairs[:3]} == {"000.png", "001.png", "002.png"}
    assert all(pair["copy"] for pair in pairs[:3])


def test_only_a_few_images_are_in_memory_at_a_time(monkeypatch):
    monkeypatch.setattr(gather, "KEPT_IMAGES", 8)
    usual = gather.in_batches
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    def watched(images):
        nonlocal most
        for each in images:
            alive.add(each.untyped_storage())
            most = max(most, sum(storage.nbytes() for storage in alive))
            yield each

    def stream():
        return watched(torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8) for _ in range(400))

    monkeypatch.setattr(gather, "in_batches", lambda images: watched(usual(images)))
    kept = gather.gather(stream(), 400, (3, 32, 32), None, "looking").kept
    assert kept.shape == (8, 3, 32, 32)
    # Two batches of single images and of joined ones, of 25.
    assert most <= 4 * gather.BATCH * 3 * 32 * 32


def test_features_of_training_images_are_looked_up_the_next_time(photos, monkeypatch):
    counted = []
    usual = evaluation.load_extractor

    def counting(*arguments, **options):
        extractor = usual(*arguments, **options)

        def function(images):
            counted.append(len(images))
            return extractor.function(images)

        return type(extractor)(extractor.name, function, extractor.device)

    monkeypatch.setattr(evaluation, "load_extractor", counting)
    first = evaluate(photos, photos, progress=Quiet())
    cost = sum(counted)
    counted.clear()
    again = evaluate(photos, photos, progress=Quiet())
    assert cost - sum(counted) == 20
    assert again.scores.kid == first.scores.kid


def test_a_cache_is_of_the_pixels_the_network_and_nothing_else(tmp_path):
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    extractor = load_extractor("random", CPU)
    path = reference.cache_file(images, extractor)
    assert path == reference.cache_file(images.clone(), extractor)
    assert path != reference.cache_file(images.flip(-1), extractor)
    assert path != reference.cache_file(images.view(4, 3, 16, 64), extractor)
    changed = load_extractor("random", CPU)
    other = type(changed)(changed.name, lambda pictures: changed.function(pictures) + 1, CPU)
    assert path != reference.cache_file(images, other)


def test_a_damaged_cache_is_made_anew(tmp_path):
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    extractor = load_extractor("random", CPU)
    rows = reference.cached_features(images, extractor)
    path = reference.cache_file(images, extractor)
    path.write_bytes(path.read_bytes()[:100])
    again = reference.cached_features(images, extractor)
    assert torch.equal(rows, again)
    assert path.stat().st_size > 1000


def test_the_table_has_every_choice_behind_a_figure(photos):
    result = evaluate(photos, photos, progress=Quiet())
    text = "\n".join(str(part) for part in table([result]))
    for words in (
        "protocol quick",
        "20 samples",
        "all 20 images",
        "none mirrored",
        "32 px",
        "features random",
        "look at images",
    ):
        assert words in text


def test_an_evaluation_says_in_a_line_what_it_is_and_shows_a_safe_table_in_a_notebook(photos, tmp_path):
    hostile = draw_folder(tmp_path / "<b>&", 12, first=50)
    result = evaluate(hostile, photos, progress=Quiet())
    answers = ", ".join(finding.answer for finding in result.verdict.findings.values())
    assert repr(result) == f"Evaluation({hostile}: {result.verdict.headline}: {answers}; 12 samples, random)"
    html = result._repr_html_()
    assert "<b>&" not in html
    assert "&lt;b&gt;&amp;" in html
    assert html.count("<tr>") == 3 + len(SPECS)
    assert "downloads are off" in html


def test_every_score_is_a_number_or_has_a_reason(photos):
    result = evaluate(photos, photos, progress=Quiet())
    for name in (field.name for field in dataclasses.fields(Scores)):
        assert (getattr(result.scores, name) is None) == (name in result.why)


def test_a_progress_that_is_shown_already_is_left_open_and_one_that_is_given_is_closed(photos):
    class Once(Quiet):
        closed = 0

        def close(self):
            self.closed += 1

    shown = Once()
    with shown_on(shown):
        evaluate(photos, photos)
        evaluate(photos, photos, progress=shown)
        assert shown.closed == 0
        evaluate(photos, photos, progress=(given := Once()))
        assert (shown.closed, given.closed) == (0, 1)
    assert shown.closed == 1


@pytest.mark.slow
def test_published_scores_run_on_inceptions_layout_with_weights_from_a_file(model, tmp_path, monkeypatch):
    photos, folder = draw_folder(tmp_path / "photos", 10), tmp_path / "weights"
    monkeypatch.setitem(PROTOCOLS, "quick", dataclasses.replace(PROTOCOLS["quick"], samples=10))
    folder.mkdir()
    torch.save(Inception(seed=2).state_dict(), folder / weights.INCEPTION)
    digest = hashlib.sha256((folder / weights.INCEPTION).read_bytes()).hexdigest()
    entry = weights.TABLE[weights.INCEPTION]
    monkeypatch.setitem(weights.TABLE, weights.INCEPTION, dataclasses.replace(entry, sha256=digest))
    result = evaluate(model, photos, features="inception", resize="clean", weights=folder, progress=Quiet())
    assert result.setup.features == "inception (clean)"
    extractor = load_extractor("inception", CPU, folder, "clean")
    drawn = load(model).sample(range(10))
    taken = load_folder(photos, Geometry((32, 32))).images
    rows = [torch.cat([extractor(part) for part in images.split(8)]) for images in (drawn, taken)]
    assert result.scores.fid == pytest.approx(fid(*rows), rel=1e-4)
    assert result.scores.kid == pytest.approx(kid(*rows)[0], rel=1e-4)
    assert result.scores.kid_error > 0


def test_diversity_is_lpips_of_samples_over_that_of_training_images(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Perceptual, "pretrained", lambda *_, **__: Perceptual(seed=1))
    same = tmp_path / "same"
    same.mkdir()
    for index in range(12):
        (same / f"{index}.png").write_bytes((photos / "000.png").read_bytes())
    assert evaluate(same, photos, progress=Quiet()).scores.diversity == 0
    assert evaluate(photos, photos, progress=Quiet()).scores.diversity == pytest.approx(1)
