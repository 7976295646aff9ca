"""Starting from a trained model: what is carried over, what is frozen, and that a run then stands by itself."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from test_ranks import free_ports, pair

import handful
import two_ranks
from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.networks.calibrate import calibrate
from handful.networks.discriminator import Discriminator
from handful.networks.generator import Generator, initialise
from handful.optim.spectral_adam import SpectralAdam
from handful.progress import Quiet
from handful.sampling.model import Model
from handful.training import checkpoint
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from handful.training.transfer import begin, carry, read
from handful.training.transfer_layers import inputs, outputs
from notes import Notes
from parts import EVERY_PART

SEEDS = range(4)


def pictures_in(folder: Path, colour: int) -> Path:
    random = np.random.default_rng(colour)
    for index in range(8):
        pixels = random.integers(0, colour, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return pictures_in(tmp_path_factory.mktemp("photos"), 255)


def small(photos: Path, run: Path, **options) -> TrainConfig:
    short = {"size": 32, "width": 8, "steps": 4, "batch": 4, "log_every": 2, "device": "cpu", "precision": "fp32"}
    return tiny(photos, run=run, **short | {"channels": 3, "report": False, "score_every": 0} | options)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A run on other images."""
    photos = pictures_in(tmp_path_factory.mktemp("others"), 128)
    config = small(photos, tmp_path_factory.mktemp("source") / "run", steps=6, learning_rate=0.002, checkpoint_every=3)
    train(config, Quiet())
    return config.folder


def begun(source: Path, **options) -> State:
    """A state that starts from a source."""
    state = State.fresh(small(Path("-"), Path("-"), **options), torch.device("cpu"))
    begin(state, read(source))
    calibrate(state.average)
    return state


def saved(config: TrainConfig, step: int) -> dict[str, torch.Tensor]:
    return load_file(config.folder / "checkpoints" / f"step-{step:08d}" / checkpoint.FILE)


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
    tensors = load_file(source / "checkpoints" / "step-00000003" / checkpoint.FILE)
    name = "head.0.weight"
    assert torch.equal(tensors[f"discriminator_optimizer.master.{name[:-7]}"], read_masters(older)[name])


def read_masters(state: State) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": value.detach() for name, value in state.discriminator_optimizer.masters.items()}


def test_the_average_in_use_is_the_one_that_starts_where_a_run_has_several(photos, tmp_path):
    config = small(photos, tmp_path / "run", average_widths=(0.05, 0.2), steps=3)
    train(config, Quiet())
    folder = every(config.folder / "checkpoints")[-1]
    tensors, numbers = checkpoint.read(folder)
    checkpoint_of_second = tmp_path / "run" / "checkpoints" / "step-00000009"
    checkpoint_of_second.mkdir()
    checkpoint.save_file(tensors, checkpoint_of_second / checkpoint.FILE, metadata=numbers | {"chosen": "1"})
    found = read(checkpoint_of_second)
    assert all(torch.equal(value, tensors[f"average_1.{name}"]) for name, value in found.generator.items())


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


LIKE_THE_SOURCE = {"freeze": 1, "normalisation": "batch"}
"""What is to stay as it is must be there."""


@pytest.mark.parametrize("options", [{"freeze": 2}, EVERY_PART | LIKE_THE_SOURCE])
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
    assert any("going on from step 2 of 4" in line for line in notes.lines)
    assert not any("starting from" in line for line in notes.lines)
    start = json.loads((parts.folder / "config.json").read_text())["start"]
    assert start["from"] == str(moved)
    assert start["generator"]["share"] == start["generator"]["share"] == 1
    assert start["fingerprint"] == json.loads((whole.folder / "config.json").read_text())["start"]["fingerprint"]


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


def test_a_run_that_has_begun_goes_on_and_cannot_change_its_source(photos, source, tmp_path):
    config = small(photos, tmp_path / "run", from_=source, steps=1)
    train(config, Quiet())
    for options in ({"from_": source / "model"}, {"from_": None}, {"freeze": 1}):
        name = "--freeze" if "freeze" in options else "--from"
        assert f"cannot go on with other options: {name} was" in refused(dataclasses.replace(config, **options))
    plain = small(photos, tmp_path / "plain", steps=1)
    train(plain, Quiet())
    assert f"--from was None and is now {source}" in refused(dataclasses.replace(plain, from_=source))


@pytest.mark.parametrize("kind", ["fastgan", "large"])
def test_what_is_frozen_stays_as_it_was_and_all_else_learns(photos, source, tmp_path, kind):
    config = small(photos, tmp_path / "run", from_=source, freeze=2, precision="bf16", discriminator=kind)
    if kind == "large":
        first = small(photos, tmp_path / "large", discriminator=kind)
        train(first, Quiet())
        config = dataclasses.replace(config, from_=first.folder)
    train(dataclasses.replace(config, keep=9), Quiet())
    before, after = saved(config, 0), saved(config, 4)
    still = ("stem.", "blocks.16.", "small.0.", "small.2.")
    changed = []
    for name, value in after.items():
        player, _, rest = name.partition(".")
        if not player.startswith("discriminator"):
            continue
        part = rest.partition(".")[2] if player.endswith("optimizer") else rest
        if part.startswith(still):
            assert torch.equal(value, before[name]), name
        else:
            changed.append(torch.equal(value, before[name]))
    assert len(changed) > 20
    assert sum(changed) < 0.1 * len(changed)


def test_every_block_can_be_frozen_and_counted_from_the_image():
    for size, most in ((32, 3), (64, 4), (256, 6), (1024, 6), ("96x64", 4)):
        network = Discriminator(GeneratorConfig(size=size, width=8))
        assert 1 + len(network.blocks) == most
        assert network.lowest(0) == []
        assert "stem" in network.lowest(1)
        assert "small.0" in network.lowest(1)
        assert network.lowest(2)[1] == f"blocks.{2 ** (most + 1)}"
        network.freeze(most)
        learning = {name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad}
        assert learning == {"head", "small_head", "decoders"}


FREEZING = [
    ({"freeze": 4}, "--freeze 4: the discriminator has 3 blocks at this size; give at most 3"),
    ({"freeze": 1, "size": 64}, "--freeze 1: stem, small.0 cannot be carried over"),
    ({"freeze": 2, "normalisation": "chain"}, "--freeze 2: blocks.16 cannot be carried over"),
    ({"freeze": 1, "width": 16}, "its networks have --width 8, not 16; add --width 8"),
]


@pytest.mark.parametrize(("options", "text"), FREEZING)
def test_freezing_what_is_not_there_is_refused(photos, source, tmp_path, options, text):
    assert text in refused(small(photos, tmp_path / "run", from_=source, **options))


def test_freezing_needs_a_discriminator(photos, source, tmp_path):
    said = refused(small(photos, tmp_path / "run", from_=source / "model", freeze=1))
    assert "has no discriminator to keep blocks of; give a run folder or a checkpoint to --from" in said
    with pytest.raises(UsageError, match="freeze 1: keeps what from_ carries over; add from_"):
        small(photos, tmp_path / "run", freeze=1)
    with pytest.raises(UsageError, match="freeze -1: must be 0"):
        small(photos, tmp_path / "run", freeze=-1)
    with pytest.raises(UsageError, match="discriminator projected, whose lower layers are frozen anyway"):
        small(photos, tmp_path / "run", from_=source, freeze=1, discriminator="projected")


def test_what_is_no_model_is_refused_before_anything_is_written(photos, source, tmp_path):
    assert "--from nowhere: is not there; give" in refused(small(photos, tmp_path / "run", from_="nowhere"))
    assert "--from" in refused(small(photos, tmp_path / "run", from_=photos))
    broken = shutil.copytree(source, tmp_path / "broken")
    state = every(broken / "checkpoints")[-1] / checkpoint.FILE
    state.write_bytes(state.read_bytes()[:-100])
    said = refused(small(photos, tmp_path / "run", from_=broken))
    assert "delete this folder to go on from the checkpoint before it" in said
    lone = shutil.copytree(every(source / "checkpoints")[-1], tmp_path / "lone" / "deep" / "step")
    assert "read where its run left it" in refused(small(photos, tmp_path / "run", from_=lone))


def test_networks_of_another_width_are_refused_with_the_width_to_give(photos, source, tmp_path):
    said = refused(small(photos, tmp_path / "run", from_=source, width=16))
    assert said.startswith(f"--from {source}: fits 0% of the new generator")
    assert said.endswith("add --width 8")


def test_it_says_what_was_carried_over(photos, source, tmp_path):
    notes = Notes()
    config = small(photos, tmp_path / "run", from_=source / "model", size=64, channels=1, steps=1, smooth=True)
    train(config, notes)
    (line,) = (line for line in notes.lines if line.startswith("starting from"))
    assert "of the generator 4 of 8 blocks" in line
    assert line.endswith("new: blocks.64, gates.64, to_small at 32, to_image at 64")
    assert any("the discriminator is new, since the source has none" in line for line in notes.lines)
    assert any("trained with --no-smooth, so what it draws is another picture" in line for line in notes.lines)
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


def test_other_proportions_stretch_the_pictures(source):
    square, wide = drawn(begun(source)), drawn(begun(source, size="48x32"))
    assert wide.shape[2:] == (32, 48)
    stretched = F.interpolate(square, size=(32, 48), mode="bilinear")
    likeness = torch.corrcoef(torch.stack([stretched.flatten(), wide.flatten()]))[0, 1]
    assert likeness > 0.5, likeness


def test_a_grey_generator_draws_the_mean_of_the_colours_and_an_rgba_one_the_colours(source):
    square, grey, clear = (begun(source, channels=channels) for channels in (3, 1, 4))
    heads = [each.average.to_image.weight for each in (square, grey, clear)]
    assert torch.allclose(heads[1][0], heads[0].mean(dim=0))
    assert torch.equal(heads[2][:3], heads[0])
    # With another number of outputs a convolution may round otherwise.
    apart = (drawn(clear)[:, :3] - drawn(square)).abs()
    assert apart.max() <= 1
    assert apart.mean() < 1e-3
    assert clear.discriminator.stem[0].weight[:, 3].abs().max() == 0


@given(
    st.sampled_from((1, 3, 4)), st.sampled_from((1, 3, 4)), st.integers(0, 9), st.sampled_from(((1, 1), (3, 3), (4, 4)))
)
def test_layers_fitted_to_other_channels_treat_grey_images_as_before(old, new, seed, kernel):
    random = torch.Generator().manual_seed(seed)
    grey = torch.randn(2, 1, 6, 6, generator=random)

    def seen(channels: int) -> torch.Tensor:
        """Grey as an image of so many channels, of which an alpha is none of its business."""
        return torch.cat([grey.expand(-1, min(channels, 3), -1, -1), 0 * grey], dim=1)[:, :channels]

    weight = torch.randn(5, old, *kernel, generator=random)
    assert torch.allclose(F.conv2d(seen(old), weight), F.conv2d(seen(new), inputs(weight, new)), atol=1e-4)
    head = torch.randn(old, 5, 1, 1, generator=random)
    fitted = outputs(head, new)
    assert len(fitted) == new
    assert torch.allclose(fitted[:3].mean(dim=0), head[:3].mean(dim=0), atol=1e-6)
    assert fitted is head if old == new else True


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


def test_a_class_keeps_what_the_one_of_its_name_learned():
    old, new, other = made("cat", "dog", learned=True), made("bee", "dog", "cat"), made("bee", "elk")
    assert carried(old, new) == []
    rows = new[0].classes["8"].table.weight
    assert torch.equal(rows[[2, 1]], old[0].classes["8"].table.weight)
    assert (rows[0] == 0).all()
    assert rows[1:].any()
    assert carried(old, other) == [f"classes.{size}" for size in (4, 8, 16, 32)]
    assert carried(new, made()) == []
    judges = [Discriminator(config) for _, config in (old, new)]
    values = [dict(judge.named_parameters()) for judge in judges]
    result = carry(values[0], values[1], old[1], new[1])
    assert result.new == []
    assert torch.equal(result.values["classes.weight"][2], values[0]["classes.weight"][0])
    assert torch.equal(result.values["small_classes.weight"][1], values[0]["small_classes.weight"][1])


def test_another_kind_of_discriminator_starts_with_what_is_alike(source):
    state = begun(source, discriminator="large")
    assert torch.equal(read_masters(state)["stem.0.weight"], read(source).discriminator["stem.0.weight"])
    # Of a block that is only partly there nothing is taken.
    chained = carry(
        read(source).discriminator,
        dict(Discriminator(GeneratorConfig(size=32, width=8), normalisation="chain").named_parameters()),
        GeneratorConfig(size=32, width=8),
        GeneratorConfig(size=32, width=8),
    )
    assert {"blocks.16", "blocks.8", "head"} <= set(chained.new)


def test_layers_held_still_are_left_out_of_a_step():
    net = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3, bias=False) for _ in range(2)))
    optimizer = SpectralAdam(net, 0.01, (0.5, 0.999), torch.Generator().manual_seed(0))
    net[0].requires_grad_(False)
    before = {name: value.clone() for name, value in optimizer.state().items()}
    optimizer.minimise(net(torch.randn(2, 3, 9, 9)).square().mean())
    moved = {name for name, value in optimizer.state().items() if not torch.equal(value, before[name])}
    assert moved
    assert {name.split(".")[1] for name in moved} == {"1"}


COMPILED = """
import torch
from handful.training.state import State
from handful.config.presets import tiny
from handful.objective.losses import absolute_difference
from handful.training.step import Step

def run(compile):
    options = {"compile": "off", "channels": 3, "from_": "-", "freeze": 2}
    config = tiny("-", size=32, width=8, batch=4, device="cpu", precision="fp32", **options)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    state = State.fresh(config, torch.device("cpu"))
    before = {name: value.clone() for name, value in state.tensors().items()}
    if compile:
        # All of the compiler but for writing C++, which takes minutes.
        for part in (state.generator, state.discriminator, state.discriminator.decoders):
            part.compile(backend="aot_eager", dynamic=False)
    step = Step(config, state, images, absolute_difference)
    losses = []
    for _ in range(2):
        losses.append({name: float(value) for name, value in step().items()})
        state.step += 1
    moved = {name for name, value in state.tensors().items() if not torch.equal(value, before[name])}
    return losses, moved

(plain, moved), (compiled, others) = run(False), run(True)
assert moved == others, moved ^ others
assert not any("stem" in name or "blocks.16.halve" in name or "small.0" in name for name in moved)
for one, two in zip(plain, compiled):
    for name in one:
        assert abs(one[name] - two[name]) < 1e-4 * max(1, abs(one[name])), (name, one, two)
print("equal")
"""


def test_a_compiled_step_freezes_the_same():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "equal", done.stderr[-3000:]


def test_two_processes_start_from_the_same_and_freeze_the_same(photos, source, tmp_path):
    one, two = (small(photos, tmp_path / name, from_=source, freeze=2, steps=2, keep=9) for name in ("one", "two"))
    two = dataclasses.replace(two, checkpoint_every=1, compile="off")
    train(dataclasses.replace(one, checkpoint_every=1, compile="off"), Quiet())
    (tmp_path / "scenarios.json").write_text(json.dumps({"two": two.to_json()}))
    done = pair([Path(two_ranks.__file__), tmp_path, free_ports(1)[0]])
    assert (tmp_path / "two.1.safetensors").exists(), [each.stderr[-3000:] for each in done]
    lead, other = (load_file(tmp_path / f"two.{rank}.safetensors") for rank in range(2))
    assert same(lead, other)
    assert same(saved(one, 0), saved(two, 0))
    still = "discriminator_optimizer.master.blocks.16.halve.0"
    assert torch.equal(lead[still], saved(one, 0)[still])
    moved = "discriminator_optimizer.master.blocks.8.halve.0"
    assert not torch.equal(lead[moved], saved(one, 0)[moved])


def test_the_command_line_has_both_options_and_a_resume_needs_neither(photos, source, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["train", str(photos), "--preset", "tiny", "--size", "32", "--width", "8", "--batch", "4", "--run"]
    arguments += [str(folder), "--device", "cpu", "--no-report", "--score-every", "0"]
    assert cli.main([*arguments, "--from", str(source), "--freeze", "1", "--steps", "1"]) == 0
    assert "starting from" in capsys.readouterr().err
    options = json.loads((folder / "config.json").read_text())["options"]
    assert options["from_"] == str(source)
    assert options["freeze"] == 1
    assert cli.main(["train", str(photos), "--run", str(folder), "--steps", "2"]) == 0
    assert cli.main(["train", str(photos), "--run", str(folder), "--from", str(photos)]) == 2
    assert f"--from was {source} and is now {photos}" in " ".join(capsys.readouterr().err.split())
