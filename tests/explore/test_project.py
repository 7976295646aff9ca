"""Photos into latents: what was generated is found again, and what is written can be drawn from."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.config.geometry import Geometry
from handful.data.classes import find_classes
from handful.data.dataset import load_folder
from handful.data.training_set import choose_held_out
from handful.errors import MissingWeightsError, UsageError
from handful.explore import likeness
from handful.explore.inversion import write_projections
from handful.explore.likeness import LARGEST_PSNR, Likeness, load_distance, pixel_distance, psnr
from handful.explore.project import Effort, bound, project, schedule
from handful.explore.study import study
from handful.images.grid import from_bytes, to_image
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator, initialise
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Quiet, shown_on
from handful.records.settings import read_settings
from handful.sampling.latents import Latents, load_latents
from handful.sampling.load import load
from handful.sampling.model import Model
from notes import Notes

QUICK = Effort(steps=3, noise_steps=2, starts=2, candidates=4)
BRIEF = ["--steps", "3", "--noise-steps", "2", "--starts", "2", "--candidates", "4", "--device", "cpu"]


def generator(size: int | str = 32, **options) -> Model:
    """A generator that draws vivid pictures in which noise shows a little, as in those of trained ones."""
    random = torch.Generator().manual_seed(0)
    network = Generator(GeneratorConfig(size=size, width=8, latent=32, **options))
    initialise(network, random)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "noise" in name:
                value.fill_(0.02)
        network.to_image.weight.mul_(4)
        for table in network.classes.parameters():  # of a fresh one classes are all alike
            table.normal_(0.0, 0.5, generator=random)
    calibrate(network)
    return Model(network)


@pytest.fixture(scope="module")
def model() -> Model:
    return generator()


@pytest.fixture(scope="module")
def source(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(random.integers(0, 255, (40, 36, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.mark.slow
def test_what_was_generated_is_found_again_from_nine_of_ten_seeds(model):
    """As near as the right latent is without its noise, which is 25.6 dB here, and 34 dB with the noise."""
    effort = Effort(steps=80, noise_steps=30, starts=2, candidates=16)
    near, recovered = [], []
    for seed in range(10):
        latents = model.latents([seed])
        bare = Latents(latents.z, [torch.zeros_like(maps) for maps in latents.noise], latents.labels, latents.names)
        target = model.sample(latents)[0]
        stages = project(model, target, "x", effort=effort).stages
        near.append(stages[0].psnr - psnr(model.sample(bare)[0], target))
        recovered.append(stages[1].psnr)
    assert sum(each > -0.5 for each in near) >= 9, near
    assert sum(each > 34 for each in recovered) >= 9, recovered


def test_a_projection_is_kept_as_a_latent_file_that_draws_the_picture_beside_it(source, model, photos, tmp_path):
    done = write_projections(source, [photos], tmp_path, QUICK, film=True, progress=Quiet(), device="cpu")
    assert [each.name for each in done] == ["0", "1", "2"]
    assert (
        repr(done[0]) == f"Projection(0: latent {done[0].stages[0].psnr:.1f} dB, noise {done[0].stages[1].psnr:.1f} dB)"
    )
    for each in done:
        latents = model.latents(str(tmp_path / f"{each.name}.safetensors"))
        assert latents.names == (each.name,)
        picture = model.sample(latents)[0]
        assert torch.equal(picture, each.stages[-1].picture)
        with Image.open(tmp_path / f"{each.name}.png") as image:
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), picture.numpy())
        with Image.open(tmp_path / f"{each.name}.webp") as film:
            assert film.n_frames > 3
    kept = json.loads((tmp_path / "projections.json").read_text())["photos"]
    assert kept[1] == {
        "photo": "1",
        "stages": {stage.name: {"psnr": stage.psnr, "lpips": None} for stage in done[1].stages},
    }
    assert (tmp_path / "projections.png").is_file()


def test_more_steps_come_nearer_and_the_best_of_the_way_is_kept(model):
    target = model.sample([3])[0]
    measured = Likeness(from_bytes(target[None]), None)
    distances = []
    for steps in (1, 20):
        picture = project(model, target, "x", effort=Effort(steps, 0, 0, 1, 4)).stages[0].picture
        distances.append(float(measured(from_bytes(picture[None]))))
    assert distances[1] < distances[0]


def test_the_same_photo_gives_the_same_point(model):
    target = model.sample([3])[0]
    first, second = (project(model, target, "x", effort=QUICK).latents for _ in range(2))
    assert torch.equal(first.z, second.z)
    assert all(torch.equal(one, other) for one, other in zip(first.noise, second.noise, strict=True))


def test_projecting_leaves_the_generator_alone(model):
    before = {name: value.clone() for name, value in model.folded.state_dict().items()}
    pictures = model.sample([0, 1])
    project(model, pictures[0], "x", effort=Effort(2, 2, 2, 1, 1))
    for name, value in model.folded.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(each.requires_grad for each in model.folded.parameters())
    assert torch.equal(model.sample([0, 1]), pictures)


def test_without_its_stage_the_noise_stays_zero_and_maps_are_shown_only(model):
    made = project(model, model.sample([3])[0], "x", effort=Effort(2, 0, 3, 2, 4))
    assert [stage.name for stage in made.stages] == ["latent", "maps"]
    assert all(not maps.any() for maps in made.latents.noise)
    assert torch.equal(model.sample(made.latents)[0], made.stages[0].picture)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 50), st.integers(1, 3), st.booleans())
def test_values_are_kept_as_strong_as_normal_draws_are(strength, rows, both):
    values = torch.randn(rows, 64, generator=torch.Generator().manual_seed(0)) * strength
    before = values.clone()
    bound(values, both=both)
    reach = 3 * (2 / 64) ** 0.5
    square = values.square().mean(dim=1)
    assert (square <= 1 + reach + 1e-4).all()
    if both and strength > 1e-3:
        assert (square >= 1 - reach - 1e-4).all()
    for row, old in zip(values, before, strict=True):  # the direction stays
        assert torch.allclose(row * old.norm(), old * row.norm(), atol=1e-3, rtol=1e-3)


def test_steps_grow_stay_and_end_at_nothing():
    assert schedule(0.0) < 0.3 < schedule(0.3) == 1.0
    assert schedule(1.0) == 0.0
    assert 0 < schedule(0.75) < 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_likeness_is_nothing_for_the_photo_itself_and_counts_coarse_faults_more(channels):
    photo = torch.rand(1, channels, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.6
    fine = torch.full_like(photo, 0.2)
    fine[..., ::2] *= -1
    for perceptual in (None, Perceptual()):
        measured = Likeness(photo, perceptual)
        assert measured(photo).item() == pytest.approx(0, abs=1e-6)
        assert (measured(torch.cat([photo + 0.2, -photo])) > 0).all()
    # As strong in every pixel; at the next scale only one of them is still there.
    assert pixel_distance(photo + 0.2, photo).item() > 3 * pixel_distance(photo + fine, photo).item()


def test_psnr_is_that_of_the_definition():
    black = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert psnr(black, black) == LARGEST_PSNR
    assert psnr(black + 255, black) == pytest.approx(0)
    assert psnr(black + 51, black) == pytest.approx(20 * np.log10(5))


def test_lpips_is_used_where_its_weights_are_and_said_to_be_missing_elsewhere(model, monkeypatch):
    cpu = torch.device("cpu")

    def missing(*_):
        raise MissingWeightsError("nowhere")

    monkeypatch.setattr(Perceptual, "pretrained", missing)
    monkeypatch.setattr(likeness.weights, "find", lambda name, folder: None)
    with shown_on(notes := Notes()):
        assert load_distance("auto", None, cpu) is None
    assert "comparing pixels only, since vgg16-397923af.pth is not on this machine" in notes.lines[0]
    with pytest.raises(MissingWeightsError, match="nowhere"):
        load_distance("lpips", None, cpu)
    monkeypatch.setattr(Perceptual, "pretrained", lambda *_: Perceptual())
    perceptual = load_distance("auto", None, cpu)
    made = project(model, model.sample([3])[0], "x", perceptual, QUICK)
    assert all(stage.lpips is not None and stage.lpips > 0 for stage in made.stages)


@pytest.mark.parametrize("options", [{"channels": 1}, {"channels": 4}, {"size": "48x32"}, {"classes": ("a", "b")}])
def test_every_kind_of_model_can_be_projected_to(photos, tmp_path, options):
    model = generator(**options)
    model.save(tmp_path / "model")
    done = write_projections(tmp_path / "model", [photos / "0.png"], tmp_path, QUICK, progress=Quiet(), device="cpu")
    latents = load_latents(tmp_path / "0.safetensors", model)
    assert torch.equal(model.sample(latents)[0], done[0].stages[-1].picture)
    assert (latents.labels is None) == (not model.config.classes)


def test_a_class_that_is_asked_for_is_the_one_looked_in():
    model = generator(classes=("a", "b"))
    target = model.sample([3])[0]
    for name in ("a", "b"):
        latents = project(model, target, "x", effort=QUICK, class_name=name).latents
        assert model.config.classes[int(latents.labels)] == name


def test_photos_of_one_name_get_names_of_their_own(source, photos, tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("0.png", "a,b.png", "projections.png"):
        shutil.copy(photos / "0.png", tmp_path / "more" / name)
    done = write_projections(
        source, [photos / "0.png", tmp_path / "more"], tmp_path / "out", QUICK, progress=Quiet(), device="cpu"
    )
    assert [each.name for each in done] == ["0", "0-2", "a_b", "projections-2"]


def test_what_cannot_be_projected_is_refused_before_the_work(source, photos, tmp_path, monkeypatch):
    def begun(*_):
        raise AssertionError("work was begun")

    monkeypatch.setattr("handful.explore.inversion.project", begun)
    (tmp_path / "file").write_text("not a picture")
    (tmp_path / "bad.png").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    for photo, out, text in (
        (photos / "none.png", tmp_path / "out", "none.png does not exist"),
        (tmp_path / "bad.png", tmp_path / "out", r"bad.png: not an image Pillow can read; leave it out"),
        (tmp_path / "empty", tmp_path / "out", "holds no pictures"),
        (photos / "0.png", tmp_path / "file", "out .*file: the folder cannot be created"),
    ):
        with pytest.raises(UsageError, match=text):
            write_projections(source, [photo], out, QUICK, progress=Quiet(), device="cpu")
    with pytest.raises(UsageError, match="no photos were given"):
        write_projections(source, [], tmp_path / "out", QUICK, progress=Quiet(), device="cpu")
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps 0: must be at least 1"),
        ({"noise_steps": -1}, "noise_steps -1: must be at least 0"),
        ({"starts": 0}, "starts 0: must be at least 1"),
        ({"starts": 8, "candidates": 4}, "candidates 4: must be at least starts 8"),
    ],
)
def test_senseless_efforts_are_refused(options, text):
    with pytest.raises(UsageError, match=text):
        Effort(**options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that held images back, and its images."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "photos").mkdir()
    for index, image in enumerate(generator().sample(range(40))):
        to_image(image).save(folder / "photos" / f"{index:02d}.png")
    options = "--preset tiny --size 32 --width 8 --batch 2 --steps 1 --hold-back 0.1 --score-every 0 --no-report"
    arguments = ["train", str(folder / "photos"), "--run", str(folder / "run"), *options.split(), "--device", "cpu"]
    assert cli.main(arguments) == 0
    return folder


@pytest.mark.slow
def test_a_study_compares_training_images_with_those_that_the_run_held_back(run, tmp_path, capsys):
    arguments = ["project", run / "run", run / "photos", "--study", "--most", 3, "--out", tmp_path, *BRIEF, "--json"]
    assert cli.main([*map(str, arguments)]) == 0
    answer = json.loads(capsys.readouterr().out)
    settings = read_settings(run / "run")
    of_model = load(run / "run", "cpu").run
    assert of_model is not None
    assert of_model.settings == settings
    dataset = load_folder(run / "photos", Geometry((32, 32)))
    kept, unseen = (
        {dataset.names[place] for place in each}
        for each in choose_held_out(find_classes(dataset.names, settings.config), settings.config)
    )
    names = {part: [each["photo"] for each in answer[part]] for part in ("training", "unseen")}
    assert len(names["training"]) == len(names["unseen"]) == 3
    assert set(names["training"]) <= kept
    assert set(names["unseen"]) <= unseen
    for stage in answer["stages"]:
        for part in ("training", "unseen"):
            values = [each["stages"][stage["stage"]]["psnr"] for each in answer[part]]
            assert stage[part] == pytest.approx(sum(values) / 3)
        pairs = [
            other["stages"][stage["stage"]]["psnr"] < mine["stages"][stage["stage"]]["psnr"]
            for mine in answer["training"]
            for other in answer["unseen"]
        ]
        assert stage["farther"] == pytest.approx(sum(pairs) / 9)
        assert 0 <= stage["unseen_copied"] <= 1
        assert 0 <= stage["training_copied"] <= 1
    assert json.loads((tmp_path / "study.json").read_text())["stages"] == answer["stages"]
    assert (tmp_path / "training.png").is_file()
    assert (tmp_path / "unseen.png").is_file()


@pytest.mark.slow
def test_a_study_needs_images_that_were_not_trained_on(run, photos, tmp_path):
    how = {"out": tmp_path, "effort": QUICK, "progress": Quiet(), "device": "cpu"}
    with pytest.raises(UsageError, match="was trained on other images than"):
        study(run / "run", photos, **how)
    with pytest.raises(
        UsageError, match=r"is not a run folder, so the images that it held out are unknown; .* as holdout FOLDER"
    ):
        study(run / "run" / "model" / "model.safetensors", run / "photos", **how)
    with pytest.raises(UsageError, match="most 1: must be at least 2"):
        study(run / "run", run / "photos", most=1, **how)
    found = study(run / "run" / "model", run / "photos", holdout=photos, most=2, **how)
    assert repr(found).startswith("Study(2 training and 2 unseen images; latent: unseen farther in ")
    assert found._repr_png_().startswith(b"\x89PNG")
    assert [each.name for each in found.unseen] == ["0.png", "1.png"]


def test_options_that_would_have_no_effect_are_refused(source, photos, tmp_path, capsys):
    command = ["project", str(source), str(photos), "--out", str(tmp_path), *BRIEF]
    assert cli.main([*command, "--holdout", str(photos)]) == 2
    assert "has an effect with --study only; add that, or leave it out" in capsys.readouterr().err
    assert cli.main([*command, "--study", "--film"]) == 2
    assert "neither --film nor --class" in capsys.readouterr().err


def test_the_command_says_how_near_it_came(source, photos, tmp_path, capsys):
    command = ["project", source, photos / "0.png", photos / "1.png", "--out", tmp_path, *BRIEF]
    assert cli.main([*map(str, command)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("0: ")
    assert said[0].endswith(" dB")
    assert said[2] == f"latent files and pictures in {tmp_path}"
