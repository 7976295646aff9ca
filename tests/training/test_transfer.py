"""Starting from a trained model: what is carried over, and that a run then needs its source no more."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from small_runs import small
from test_processes import free_ports, pair

import handful
import two_processes
from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.networks.calibrate import calibrate
from handful.networks.discriminator import Discriminator
from handful.networks.generator import Generator, initialise
from handful.progress import Quiet
from handful.records.layout import STATE
from handful.sampling.model import Model
from handful.training import checkpoint
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from handful.training.transfer import begin, carry, read
from notes import Notes
from parts import EVERY_PART

SEEDS = range(4)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A run on other images."""
    others = tmp_path_factory.mktemp("others")
    random = np.random.default_rng(128)
    for index in range(8):
        pixels = random.integers(0, 128, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(others / f"{index:02d}.png")
    config = small(others, tmp_path_factory.mktemp("source") / "run", steps=6, learning_rate=0.002, checkpoint_every=3)
    train(config, Quiet())
    return config.folder


def begun(source: Path, **options) -> State:
    """A state that starts from a source."""
    state = State.fresh(small(Path("-"), Path("-"), **options), torch.device("cpu"))
    begin(state, read(source))
    calibrate(state.average)
    return state


def saved(config: TrainConfig, step: int) -> dict[str, torch.Tensor]:
    return load_file(config.folder / "checkpoints" / f"step-{step:08d}" / STATE)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


def refused(config: TrainConfig) -> str:
    """What is said where a run must be refused; and nothing is written then."""
    before = sorted(config.folder.rglob("*"))
    with pytest.raises(UsageError) as error:
        train(config, Quiet())
    assert sorted(config.folder.rglob("*")) == before
    return error.value.on_command_line


@pytest.mark.parametrize("place", [".", "model", "model/model.safetensors", "checkpoints/step-00000006"])
def test_at_first_a_run_draws_what_its_source_draws_bit_for_bit(source, place):
    state = begun(source / place)
    assert torch.equal(Model(state.average).sample(SEEDS), handful.load(source).sample(SEEDS))


def test_an_older_checkpoint_is_a_source_of_its_own(source):
    older, newer = (begun(source / "checkpoints" / f"step-{step:08d}") for step in (3, 6))
    assert not torch.equal(Model(older.average).sample(SEEDS), Model(newer.average).sample(SEEDS))
    tensors = load_file(source / "checkpoints" / "step-00000003" / STATE)
    name = "head.0.weight"
    assert torch.equal(tensors[f"discriminator_optimizer.master.{name[:-7]}"], read_masters(older)[name])


def read_masters(state: State) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": value.detach() for name, value in state.discriminator_optimizer.masters.items()}


def test_the_trained_generator_starts_near_the_average_and_the_discriminator_as_it_was(source):
    state, theirs = begun(source, seed=1), State.fresh(small(Path("-"), Path("-")), torch.device("cpu"))
    checkpoint.restore(theirs, every(source / "checkpoints")[-1])
    for live, drawing in zip(state.generator.parameters(), state.average.parameters(), strict=True):
        assert F.cosine_similarity(live.flatten(), drawing.flatten(), dim=0) > 0.999 or not drawing.any()
    assert same(theirs.discriminator_optimizer.others, state.discriminator_optimizer.others)
    assert same(theirs.discriminator_optimizer.masters, state.discriminator_optimizer.masters)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = [each.discriminator(images, images[..., ::2, ::2]).logits for each in (state, theirs)]
    assert torch.allclose(*logits, rtol=0.02, atol=0.02)
    # The estimates of the norms go on from the source's vectors, so they keep their sign, which random ones would not
    # have, and only come nearer to the truth, from below.
    ours, theirs = state.discriminator_optimizer, theirs.discriminator_optimizer
    for name, sigma in ours.sigma.items():
        exact = torch.linalg.svdvals(ours.matrices[name].detach())[0]
        assert theirs.sigma[name] * (1 - 1e-5) <= sigma <= exact * (1 + 1e-5), name
        assert F.cosine_similarity(ours.u[name], theirs.u[name], dim=0) > 0.5, name


def test_optimisers_and_strengths_start_fresh(source):
    tensors = begun(source).tensors()
    moments = [value for name, value in tensors.items() if "exp_avg" in name or ".step." in name]
    assert moments
    assert not any(value.any() for value in moments)
    assert not any(tensors[f"controls.{name}"] for name in ("steps", "sign", "augment"))


@pytest.mark.parametrize("options", [{}, EVERY_PART])
def test_a_run_stands_by_itself_once_it_has_begun(photos, source, tmp_path, options):
    """Stopped, its source gone, and resumed, it ends with the bits of one that was never stopped."""
    whole, parts = (small(photos, tmp_path / name, from_=source, **options) for name in ("whole", "parts"))
    train(whole, Quiet())
    moved = shutil.copytree(source, tmp_path / "source")
    parts = dataclasses.replace(parts, from_=moved)
    train(dataclasses.replace(parts, steps=2), Quiet())
    shutil.rmtree(moved)
    notes = Notes()
    train(parts, notes)
    assert same(saved(whole, 4), saved(parts, 4))
    assert any("resuming from step 2 of 4" in line for line in notes.lines)
    assert not any("starting from" in line for line in notes.lines)
    start = json.loads((parts.folder / "config.json").read_text())["start"]
    assert start["from"] == str(moved)
    assert start["generator"]["share"] == start["generator"]["share"] == 1
    assert start["fingerprint"] == json.loads((whole.folder / "config.json").read_text())["start"]["fingerprint"]


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 1])
def test_a_run_killed_around_its_first_checkpoint_starts_from_its_source_once(photos, source, tmp_path, left):
    """With none it reads the source again; with that of step 0 it needs it no more."""
    moved = shutil.copytree(source, tmp_path / "source")
    config = small(photos, tmp_path / "run", from_=moved, steps=2)
    train(config, Quiet())
    found = every(config.folder / "checkpoints")
    assert [path.name for path in found] == ["step-00000000", "step-00000002"]
    assert (config.folder / "samples" / "step-00000000.png").exists()
    ended = saved(config, 2)
    for path in found[left:]:
        shutil.rmtree(path)
    if left:
        shutil.rmtree(moved)
    train(config, Quiet())
    assert same(saved(config, 2), ended)


def test_a_run_that_has_begun_resumes_and_cannot_change_its_source(photos, source, tmp_path):
    config = small(photos, tmp_path / "run", from_=source, steps=1)
    train(config, Quiet())
    for other in (source / "model", None):
        assert "cannot be resumed with other options: --from was" in refused(dataclasses.replace(config, from_=other))
    plain = small(photos, tmp_path / "plain", steps=1)
    train(plain, Quiet())
    assert f"--from was None and is now {source}" in refused(dataclasses.replace(plain, from_=source))


def test_what_is_no_model_is_refused_before_anything_is_written(photos, source, tmp_path):
    assert "--from nowhere: does not exist; give" in refused(small(photos, tmp_path / "run", from_="nowhere"))
    assert "--from" in refused(small(photos, tmp_path / "run", from_=photos))
    broken = shutil.copytree(source, tmp_path / "broken")
    state = every(broken / "checkpoints")[-1] / STATE
    state.write_bytes(state.read_bytes()[:-100])
    said = refused(small(photos, tmp_path / "run", from_=broken))
    assert str(state) in said
    assert "it may be cut short or damaged" in said
    lone = shutil.copytree(every(source / "checkpoints")[-1], tmp_path / "lone" / "deep" / "step")
    assert "this checkpoint is not in its run folder" in refused(small(photos, tmp_path / "run", from_=lone))


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"width": 16}, "another --width than this run; add --width 8"),
        ({"channels": 1}, "another --channels than this run; add --channels 3"),
        ({"size": "48x32"}, "another --size than this run; give a size of the same proportions"),
    ],
)
def test_other_networks_are_refused_with_the_option_to_give(photos, source, tmp_path, options, remedy):
    said = refused(small(photos, tmp_path / "run", from_=source, **options))
    assert said == f"--from {source}: its networks have {remedy}"


def test_it_says_what_was_carried_over(photos, source, tmp_path):
    notes = Notes()
    config = small(photos, tmp_path / "run", from_=source / "model", size=64, steps=1, sle=False)
    train(config, notes)
    (line,) = (line for line in notes.lines if line.startswith("  generator: "))
    assert "takes over 4 of 7 blocks" in line
    assert line.endswith("new: blocks.64, to_small at 32, to_image at 64")
    assert any("  discriminator: starts fresh" in line for line in notes.lines)
    assert any("trained with --sle, so it draws other images here" in line for line in notes.lines)
    start = json.loads((config.folder / "config.json").read_text())["start"]
    assert start["discriminator"]["share"] == 0
    assert 0.5 < start["generator"]["share"] < 1
    assert {"blocks.64", "to_image at 64"} <= set(start["generator"]["new"])


def test_at_another_size_each_block_goes_where_it_does_the_same(source):
    state, there = begun(source, size=128), read(source)
    values = state.average.state_dict()
    for block in ("first.conv", "blocks.8.conv2", "blocks.16.conv", "blocks.32.conv1"):
        assert torch.equal(values[f"{block}.weight"], there.generator[f"{block}.weight"])
    masters = read_masters(state)
    assert torch.equal(masters["blocks.8.halve.0.weight"], there.discriminator["blocks.8.halve.0.weight"])
    assert torch.equal(masters["small_head.weight"], there.discriminator["small_head.weight"])


def drawn(state: State) -> torch.Tensor:
    return Model(state.average).sample(SEEDS).float()


def made(*classes: str, learned: bool = False) -> tuple[Generator, GeneratorConfig]:
    config = GeneratorConfig(size=32, width=8, classes=classes)
    network = Generator(config)
    random = torch.Generator().manual_seed(len(classes))
    initialise(network, random)
    for table in network.classes.parameters() if learned else ():
        torch.nn.init.normal_(table, generator=random)
    return network.eval(), config


def carried(old: tuple[Generator, GeneratorConfig], new: tuple[Generator, GeneratorConfig]) -> list[str]:
    result = carry(old[0].state_dict(), new[0].state_dict(), old[1], new[1])
    new[0].load_state_dict(new[0].state_dict() | result.values)
    return result.new


def test_new_classes_all_draw_at_first_what_was_drawn_without():
    old, new = made(), made("cat", "dog")
    assert carried(old, new) == [f"classes.{size}" for size in (4, 8, 16, 32)]
    z = torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
    noise = [torch.zeros(2, 1, *shape) for shape in old[0].noise_shapes]
    plain = old[0](z, noise)[0]
    for label in (0, 1):
        assert torch.allclose(new[0](z, noise, torch.tensor([label, label]))[0], plain, atol=1e-6)


def test_of_a_block_that_is_only_partly_the_same_nothing_is_carried_over(source):
    config = GeneratorConfig(size=32, width=8)
    other = Discriminator(config, smooth=False).state_dict() | {"head.0.weight": torch.zeros(1)}
    carried = carry(read(source).discriminator, other, config, config)
    assert "stem at 32" in carried.kept
    assert "head" in carried.new
    assert not any(name.startswith("head") for name in carried.values)


@pytest.mark.processes
def test_two_processes_start_from_the_same(photos, source, tmp_path):
    one, two = (small(photos, tmp_path / name, from_=source, steps=2, keep=9) for name in ("one", "two"))
    two = dataclasses.replace(two, checkpoint_every=1, compile="off")
    train(dataclasses.replace(one, checkpoint_every=1, compile="off"), Quiet())
    (tmp_path / "scenarios.json").write_text(json.dumps({"two": two.to_json()}))
    done = pair([Path(two_processes.__file__), tmp_path, free_ports(1)[0]])
    assert (tmp_path / "two.1.safetensors").exists(), [each.stderr[-3000:] for each in done]
    lead, other = (load_file(tmp_path / f"two.{rank}.safetensors") for rank in range(2))
    assert same(lead, other)
    assert same(saved(one, 0), saved(two, 0))
    moved = "discriminator_optimizer.master.blocks.8.halve.0"
    assert not torch.equal(lead[moved], saved(one, 0)[moved])


def test_the_command_line_has_the_option_and_a_resume_does_not_need_it(photos, source, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["train", str(photos), "--preset", "tiny", "--size", "32", "--width", "8", "--batch", "4", "--run"]
    arguments += [str(folder), "--device", "cpu", "--no-report", "--score-every", "0"]
    assert cli.main([*arguments, "--from", str(source), "--steps", "1"]) == 0
    assert "starting from" in capsys.readouterr().err
    options = json.loads((folder / "config.json").read_text())["options"]
    assert options["from_"] == str(source)
    assert cli.main(["train", str(photos), "--run", str(folder), "--steps", "2"]) == 0
    assert cli.main(["train", str(photos), "--run", str(folder), "--from", str(photos)]) == 2
    assert f"--from was {source} and is now {photos}" in " ".join(capsys.readouterr().err.split())
