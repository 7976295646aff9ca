"""Films of walks through the latent space, and of runs."""

import json
import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from handful.cli import main as cli
from handful.config.presets import tiny
from handful.errors import UsageError
from handful.explore.interpolate import (
    Walk,
    divide,
    even_moments,
    interpolate,
    load_measure,
    measure_steps,
    plain_moments,
)
from handful.images.video import write_video
from handful.networks.calibrate import calibrate
from handful.networks.latent import slerp
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Quiet
from handful.sampling.latents import Latents
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.training import checkpoint
from handful.training import state as at_state
from handful.training.timelapse import video_of_run
from support.models import made

CPU = torch.device("cpu")
KINDS = ({}, {"size": "48x32", "channels": 1}, {"channels": 4, "classes": ("cats", "dogs", "newts")})


@pytest.fixture(scope="module", params=KINDS, ids=("rgb", "grey", "rgba with classes"))
def any_model(request):
    return made(**request.param)


@pytest.fixture(scope="module")
def model():
    return made()


@pytest.fixture(scope="module")
def source(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    model.save(folder)
    return folder


def frames(path) -> list[np.ndarray]:
    if path.is_dir():
        return [np.asarray(Image.open(each)) for each in sorted(path.iterdir())]
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]


def own(model, seed) -> np.ndarray:
    return np.asarray(model.images([seed])[0])


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("truncation", [1.0, 0.6])
def test_a_walk_is_at_its_points_bit_for_bit_and_a_loop_closes(any_model, loop, truncation):
    seeds = [4, 9, 2]
    walk = Walk(any_model, any_model.latents(seeds), loop, truncation=truncation)
    moments = plain_moments(walk.legs, 2 * walk.legs, "smooth")
    pictures = torch.cat([walk.picture(moment) for moment in moments])
    assert torch.equal(pictures[::2][:3], any_model.sample(seeds, truncation=truncation))
    assert not torch.equal(pictures[1], pictures[0])
    if loop:
        assert torch.equal(pictures[0], pictures[-1])
    for place, moment in enumerate(moments[::2]):  # the rounding to bytes would hide that latents are only near
        z, noise, labels = walk.inputs(moment)
        own = walk.latents.pick([place % 3])
        assert torch.equal(z, own.z)
        assert all(map(torch.equal, noise, own.noise))
        assert labels is own.labels is None or torch.equal(labels, own.labels)


def test_fixed_noise_is_that_of_the_first_point(model):
    latents = model.latents([1, 2])
    walk = Walk(model, latents, noise="fixed")
    assert torch.equal(walk.picture(0.0), model.sample([1]))
    with_first = Latents(latents.z, [maps[[0, 0]] for maps in latents.noise], None, latents.names)
    assert torch.equal(walk.picture(1.0), model.sample(with_first)[1:])
    assert not torch.equal(walk.picture(1.0), model.sample([2]))


def test_classes_blend_on_the_way():
    model = made(classes=("cats", "dogs"), noise=0.0)
    latents = model.latents([0, 1])
    same_z = Latents(latents.z[[0, 0]], [maps[[0, 0]] for maps in latents.noise], latents.labels, latents.names)
    walk = Walk(model, same_z)
    seen = [walk.picture(moment).float() for moment in (0.0, 0.02, 0.5, 0.98, 1.0)]
    whole = float((seen[4] - seen[0]).abs().mean())
    assert whole > 0
    assert float((seen[1] - seen[0]).abs().mean()) < 0.2 * whole
    assert float((seen[4] - seen[3]).abs().mean()) < 0.2 * whole
    assert float((seen[2] - seen[0]).abs().mean()) > 0.2 * whole


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.sampled_from(["none", "smooth"]))
def test_moments_go_from_the_first_point_to_the_last_and_never_back(legs, steps, ease):
    moments = plain_moments(legs, steps, ease)
    assert (moments[0], moments[-1], len(moments)) == (0.0, float(legs), steps + 1)
    assert all(a < b or math.isclose(a, b) for a, b in pairwise(moments))


def test_smooth_easing_is_slow_at_points_and_passes_the_middle_in_the_middle():
    moments = plain_moments(2, 20, "smooth")
    assert moments[1] < 0.3 * plain_moments(2, 20)[1]
    assert moments[5] == 0.5
    assert moments[10] == 1.0


@settings(deadline=None)
@given(st.floats(0, 1))
def test_arcs_from_and_to_nothing_are_straight(share):
    some, nothing = torch.randn(1, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 8)
    assert slerp(some, nothing, share).isfinite().all()
    torch.testing.assert_close(slerp(nothing, some, 1.0), some)


def variation(steps) -> float:
    return float(steps.std(correction=0) / steps.mean())


@pytest.mark.slow
@pytest.mark.parametrize("loop", [False, True])
def test_even_steps_vary_less_than_half_as_much_as_plain_ones(model, loop):
    walk, measure = Walk(model, model.latents([1, 2, 3]), loop), load_measure("features", CPU)
    plain = plain_moments(walk.legs, 24)
    even = even_moments(walk, 24, measure, lambda done, of: None)
    assert (even[0], even[-1]) == (0.0, float(walk.legs))
    varied = [variation(measure_steps(walk, moments, measure, lambda done: None)) for moments in (plain, even)]
    assert varied[1] < 0.5 * varied[0]


def test_steps_can_be_measured_by_lpips(any_model, monkeypatch):
    perceptual = Perceptual()
    monkeypatch.setattr(Perceptual, "pretrained", lambda weights: perceptual)
    first, second = any_model.sample([1, 2]).split(1)
    steps = load_measure("lpips", CPU)(torch.cat([first, second, second]))
    assert steps[0] > 0
    assert steps[1] == 0


def test_a_walk_on_which_nothing_changes_is_walked_plainly(model):
    walk, measure = Walk(model, model.latents([1, 1])), load_measure("features", CPU)
    assert even_moments(walk, 4, lambda images: measure(images) * 0, lambda done, of: None) == plain_moments(1, 4)


def test_frames_of_a_folder_and_of_a_webp_are_the_pictures_bit_for_bit(model, source, tmp_path):
    options = {"frames": 5, "device": "cpu", "progress": Quiet()}
    film = interpolate(source, tmp_path / "walk.webp", "3,5", **options)
    folder = interpolate(source, tmp_path / "deep" / "walk", [3, 5], **options)
    assert [path.name for path in sorted(folder.iterdir())][:2] == ["frame-000000.png", "frame-000001.png"]
    assert len(frames(film)) == len(frames(folder)) == 5
    for one, other in zip(frames(film), frames(folder), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(frames(film)[0], own(model, 3))
    assert np.array_equal(frames(film)[-1], own(model, 5))
    assert not list(tmp_path.glob(".*"))


def test_a_transparent_film_keeps_its_transparency(any_model, tmp_path):
    any_model.save(tmp_path / "model")
    options = {"frames": 3, "device": "cpu", "progress": Quiet()}
    film = interpolate(tmp_path / "model", tmp_path / "walk.webp", [0, 1], **options)
    with Image.open(film) as opened:
        mode = any_model.images([0])[0].mode
        assert np.array_equal(np.asarray(opened.convert(mode)), own(any_model, 0))
    with Image.open(interpolate(tmp_path / "model", tmp_path / "walk.gif", [0, 1], **options)) as opened:
        assert opened.n_frames == 3


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_a_video_has_as_many_frames_and_nearly_the_same_colours(ending, model, source, tmp_path):
    av = pytest.importorskip("av")
    film = interpolate(source, tmp_path / f"walk.{ending}", "3,5", frames=7, device="cpu", progress=Quiet())
    with av.open(str(film)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 24
    assert len(shown) == 7
    assert np.abs(shown[0].astype(int) - own(model, 3)).mean() < 25


def test_a_video_without_its_package_is_refused_with_the_remedy(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"\.mp4 needs the package av: pip install 'handful\[video\]', or use \.webp"):
        interpolate(source, tmp_path / "walk.mp4")


def test_walks_in_step_stand_side_by_side(model, source, tmp_path):
    film = interpolate(source, tmp_path / "w.webp", "1-4", 3, grid=2, device="cpu", progress=Quiet())
    first, *_, last = frames(film)
    assert first.shape == (32, 66, 3)
    assert np.array_equal(first[:, 34:], own(model, 3))
    assert np.array_equal(last[:, :32], own(model, 2))


def test_a_random_loop_says_its_seeds_and_is_the_same_again(source, tmp_path):
    class Notes(Quiet):
        lines: list[str] = []  # noqa: RUF012

        def note(self, text):
            self.lines.append(text)

    options = {"frames": 4, "device": "cpu", "progress": Notes()}
    film = frames(interpolate(source, tmp_path / "a.webp", **options))
    assert Notes.lines[0].startswith("a random loop: --seeds ")
    seeds = Notes.lines[0].split()[4]
    assert all(map(np.array_equal, film, frames(interpolate(source, tmp_path / "b.webp", seeds, loop=True, **options))))
    other = frames(interpolate(source, tmp_path / "c.webp", random=1, **options))
    assert not np.array_equal(film[0], other[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frames": 1}, "frames 1: a film has at least 2"),
        ({"grid": 0}, "grid 0"),
        ({"fps": 0.0}, "fps 0: must be from 0.1 to 100"),
        ({"seeds": "5"}, "seeds: 1 cannot be gone through; a walk needs two or more"),
        ({"seeds": "1-5", "grid": 2}, "5 cannot be gone through in 2 walks of the same length"),
        ({"seeds": []}, "no seeds"),
        ({"seeds": "1,two"}, "'two' is not a number"),
        ({"ease": "smooth", "speed": "features"}, "ease smooth and speed features: one makes steps uneven"),
        ({"random": -1}, "random -1"),
        ({"class_name": "cats"}, "class_name cats: the model has no such class"),
        ({"truncation": 2.0}, "truncation 2"),
    ],
)
def test_senseless_walks_are_refused_and_nothing_is_written(source, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        interpolate(source, tmp_path / "walk.webp", **options, device="cpu", progress=Quiet())
    assert not list(tmp_path.iterdir())


def test_places_where_no_film_can_be_written_are_refused_before_anything_is_drawn(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "frame-000000.png").touch()
    for name, said in (
        ("walk.avi", r"choose the ending \.mp4, \.webm, \.webp, \.gif; or none, for a folder"),
        ("full", "is a folder that holds files; choose a new one"),
        ("file", "is a file; give a video one of the endings"),
        ("file/walk.webp", "cannot be created"),
    ):
        with pytest.raises(UsageError, match=said):
            interpolate(tmp_path / "no model", tmp_path / name)


def test_a_film_that_fails_on_its_way_leaves_the_old_one(tmp_path):
    def pictures():
        yield Image.new("RGB", (8, 8))
        raise OSError("the disk is gone")

    for name in ("film.webp", "film.gif", "film"):
        if name != "film":
            (tmp_path / name).write_text("old")
        with pytest.raises(OSError, match="the disk is gone"):
            write_video(tmp_path / name, pictures(), 24.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif", "film.webp"]
    assert (tmp_path / "film.gif").read_text() == "old"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with checkpoints of two steps, as training leaves it."""
    folder = tmp_path_factory.mktemp("run")
    state = at_state.State.fresh(tiny("-", size=32, width=8, channels=3, precision="fp32", projected_weight=0.0), CPU)
    state.average.to_image.weight.data.mul_(30)
    for step in (10, 20):
        state.step = step
        state.average.to_image.weight.data.mul_(1.2)
        checkpoint.save(state, folder / "checkpoints", keep=9)
    calibrate(state.average)
    Model(state.average).save(folder / "model")
    return folder


def test_the_film_of_a_run_ends_with_what_its_model_draws(run, tmp_path):
    film = video_of_run(run, tmp_path / "run.webp", "7", device="cpu", progress=Quiet())
    first, last = frames(film)
    assert np.array_equal(last, own(load(run, "cpu"), 7))
    assert not np.array_equal(first, last)


def test_the_film_of_a_run_needs_checkpoints_and_takes_no_options_of_walks(source, run, tmp_path, capsys):
    with pytest.raises(UsageError, match="has 0 checkpoints, and a video needs at least 2"):
        video_of_run(source, tmp_path / "run.webp", device="cpu")
    assert cli.main(["interpolate", str(run), "--progress", "--loop", "--out", str(tmp_path / "a.webp")]) == 2
    assert "--loop: has no effect with --progress" in capsys.readouterr().err


def test_the_command_makes_films_from_seeds_and_latent_files(model, source, run, tmp_path, capsys):
    model.latents([8]).save(tmp_path / "face.safetensors", model)
    seeds = f"3,{tmp_path / 'face.safetensors'}"
    common = ["--device", "cpu", "--json", "--out"]
    film = tmp_path / "a.webp"
    assert cli.main(["interpolate", str(source), "--seeds", seeds, "--frames", "3", *common, str(film)]) == 0
    assert json.loads(capsys.readouterr().out)["film"] == str(film)
    assert np.array_equal(frames(film)[-1], own(model, 8))
    assert cli.main(["interpolate", str(run), "--progress", *common, str(tmp_path / "b.gif")]) == 0


def test_walks_divide_points_in_their_order(model):
    walks = divide(model, model.latents(range(6)), 2, False, "moving", 1.0)
    assert [walk.latents.names for walk in walks] == [("0", "1", "2"), ("3", "4", "5")]
