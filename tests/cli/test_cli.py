"""The command line, as a user meets it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.cli import main as cli
from handful.config.presets import PRESETS, default, paper, tiny
from handful.config.text import parse_seeds
from handful.config.train import TrainConfig
from handful.errors import UsageError


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = "--preset tiny --size 32 --width 8 --batch 2 --steps 2 --device cpu --run"
    assert cli.main(["train", str(photos), *options.split(), str(folder)]) == 0
    return folder


COMMANDS = (
    "train", "check", "generate", "interpolate", "mix", "neighbours", "project", "directions", "latents", "evaluate",
    "report", "clean", "describe", "bench", "demo",
)  # fmt: skip


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def refused(arguments: list[str], capsys) -> str:
    """Run a command that must be refused as wrongly used, and give what it says."""
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:  # how tyro leaves
        code = exit_.code
    said = capsys.readouterr()
    assert code == 2, said
    return " ".join((said.out + said.err).replace("│", " ").split())


def test_help_comes_in_half_a_second_and_without_torch():
    start = time.perf_counter()
    script = "import sys; sys.argv = ['handful', '--help']\ntry:\n    from handful.cli import main; main()\n"
    script += "finally:\n    assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert command in done.stdout
    # Half a second on a quiet machine; the suite keeps all cores busy.
    assert seconds < 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--help"])
    assert exit_.value.code == 0
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    options = [index for index, line in enumerate(lines) if line.startswith("--")]
    assert options
    for index in options:
        # The words stand behind the option, or below it where it is long; the default ends them.
        words = lines[index].partition("  ")[2] + lines[index + 1]
        assert len(words.split()) > 3, lines[index]


@pytest.mark.parametrize("name", PRESETS)
def test_help_shows_the_defaults_of_the_preset_asked_for(name, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--preset", name, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    config = PRESETS[name]("-")
    assert f"(default: {name})" in text
    for value in (config.size, config.width, config.steps, config.perceptual):
        assert f"(default: {value})" in text


WRONG = [
    ("train", "Missing from handful train"),
    ("train nowhere --preset tiny", "image folder nowhere does not exist"),
    (
        "train . --size 100",
        "--size 100: sides must be 3 to 8 times the same power of two, and 32 pixels at least, as in 256, 96x64 or "
        "768x512; the nearest is 96",
    ),
    ("train . --preset paper --size 64", "--size 64: the paper has networks for 256, 512 and 1024"),
    ("train . --steps ten", "Error parsing --steps"),
    ("train . --batch 1", "--batch 1: batch normalisation needs at least 2 images"),
    ("train . --steps 0", "--steps 0: must be at least 1"),
    ("train . --learning-rate 0", "--learning-rate 0.0: must be above 0"),
    ("train . --learning-rate nan", "--learning-rate nan: must be above 0"),
    ("train . --betas 0.5 1", "--betas 0.5 1.0: must be at least 0 and below 1"),
    ("train . --lecam -1", "--lecam -1.0: must be 0 or above"),
    ("train . --augment-probability 0", "--augment-probability 0.0: must be above 0 and at most 1"),
    (
        "train . --augment color rotation --augment-probability 1",
        "--augment rotation: made of every image, the generator would learn it; add",
    ),
    ("train . --width 12", "--width 12: must be a multiple of 8"),
    ("train . --seed -1", "--seed -1: must not be negative"),
    ("train . --preset huge", "invalid choice 'huge' for argument '--preset'"),
    ("train . --sise 64", "Perhaps you meant: --size"),
    ("train . --augment color blur", "invalid choice 'blur'"),
    ("train . --device tpu", "--device tpu: not available"),
    ("generate nowhere --out x", "nowhere: is not there; give a run folder, a model folder or a .safetensors file"),
    ("generate . --out x --seeds 5-2", "--seeds 5-2: the range 5-2 ends before it starts"),
    ("generate . --out x --seeds 1,,2", "--seeds 1,,2: '' is not a number or a range like 0-63"),
    ("generate . --out x --seeds all", "--seeds all: 'all' is not a number or a range like 0-63"),
    ("generate . --seeds 1", "nowhere to write to: give --out DIR"),
    ("describe --size 33", "--size 33: sides must be"),
    ("paint", "Unrecognized options: paint"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_wrong_use_names_the_option_and_the_remedy(arguments, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in refused(arguments.split(), capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_exits_with_1(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    assert (
        cli.main(["train", str(photos), "--perceptual", "vgg16", "--size", "32", "--run", str(tmp_path / "run")]) == 1
    )
    assert "for the perceptual loss) and downloading it" in capsys.readouterr().err


def test_generate_names_files_by_seed_and_answers_in_json(run, tmp_path, capsys):
    capsys.readouterr()
    arguments = ["generate", str(run), "--seeds", "0-2,40", "--out", str(tmp_path / "out"), "--json"]
    assert cli.main([*arguments, "--grid", str(tmp_path / "grid.png"), "--size-of-batch", "3"]) == 0
    answer = json.loads(capsys.readouterr().out)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["seed-000000.png", "seed-000001.png", "seed-000002.png", "seed-000040.png"]
    assert [Path(file).name for file in answer["files"]] == [*names, "grid.png"]
    assert pixels(tmp_path / "grid.png").shape == (66, 66, 3)
    assert pixels(tmp_path / "out" / names[0]).shape == (32, 32, 3)


def test_a_grid_shows_what_the_single_files_show(run, tmp_path):
    cli.main(["generate", str(run), "--seeds", "7,3", "--out", str(tmp_path), "--grid", str(tmp_path / "grid.png")])
    sheet = pixels(tmp_path / "grid.png")
    assert np.array_equal(sheet[:, :32], pixels(tmp_path / "seed-000007.png"))
    assert np.array_equal(sheet[:, 34:], pixels(tmp_path / "seed-000003.png"))


def test_a_run_goes_on_without_its_options_and_refuses_other_ones(run, photos, capsys):
    capsys.readouterr()
    assert cli.main(["train", str(photos), "--run", str(run), "--steps", "3", "--json"]) == 0
    said = capsys.readouterr()
    assert "going on from step 2 of 3" in said.err
    assert json.loads(said.out)["model"] == str(run / "model")
    assert "--size was 32 and is now 64" in refused(["train", str(photos), "--run", str(run), "--size", "64"], capsys)
    assert "--preset was tiny and is now paper" in refused(
        ["train", str(photos), "--run", str(run), "--preset", "paper", "--size", "256"], capsys
    )


def test_a_run_without_a_name_is_named_after_its_images(photos):
    assert default(photos).folder == Path("runs") / photos.name
    assert default(".").folder == Path("runs") / Path.cwd().name


def test_paths_may_be_given_as_text():
    config = TrainConfig(images="photos", run="runs/photos", weights="w")
    assert (config.images, config.folder, config.weights) == (Path("photos"), Path("runs/photos"), Path("w"))


def test_options_go_through_json_and_back():
    config = tiny("photos", run=Path("r"), weights=Path("w"), augment=("cutout",))
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(UsageError, match="does not know: colour"):
        TrainConfig.from_json(config.to_json() | {"colour": 1})


def test_the_paper_preset_is_the_published_recipe():
    config = paper("photos")
    recipe = (config.learning_rate, config.betas, config.batch, config.steps, config.average_decay, config.width)
    assert recipe == (2e-4, (0.5, 0.999), 8, 50_000, 0.999, 64)
    assert config.augment == ("color", "translation")
    assert (config.augment_schedule, config.augment_probability) == ("constant", 1)
    assert config.weight_of_reconstruction == config.reconstruction_weight == config.batch
    assert not config.smooth_discriminator
    assert config.sle
    assert config.reconstruction
    assert config.mirror


def test_reconstructions_weigh_what_suits_how_they_are_judged():
    judged = {judge: TrainConfig("photos", perceptual=judge) for judge in ("vgg16", "none")}
    assert {judge: config.weight_of_reconstruction for judge, config in judged.items()} == {"vgg16": 8, "none": 2}
    assert TrainConfig("photos", perceptual="none", reconstruction_weight=3.0).weight_of_reconstruction == 3


def test_narrow_networks_take_larger_steps():
    sizes = {width: TrainConfig("photos", width=width).step_size for width in (8, 16, 64)}
    assert sizes == pytest.approx({8: 8e-4, 16: 5.04e-4, 64: 2e-4}, rel=1e-3)
    assert (paper("photos", width=8).step_size, tiny("photos", learning_rate=1e-3).step_size) == (2e-4, 1e-3)


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-2,100", [0, 1, 2, 100]), (" 5 , 1 - 2", [5, 1, 2]), ("4-4", [4])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"
