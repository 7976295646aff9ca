"""The command line, as a user meets it."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.cli import main as cli


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


WRONG = [
    ("train", "Missing from handful train"),
    ("train nowhere --preset tiny", "nowhere: does not exist; give a folder of images"),
    (
        "train . --size 100",
        "--size 100: sides must be 3 to 8 times a common power of two and at least 32 pixels, as in 256, 96x64 or "
        "768x512; the nearest is 96",
    ),
    ("train . --preset paper --size 64", "--size 64: the paper has networks for 256, 512 and 1024"),
    ("train . --steps ten", "Error parsing --steps"),
    ("train . --batch 1", "--batch 1: must be at least 2 (batch normalisation needs them)"),
    ("train . --steps 0", "--steps 0: must be at least 1"),
    ("train . --learning-rate 0", "--learning-rate 0.0: must be above 0"),
    ("train . --learning-rate nan", "--learning-rate nan: must be a number or auto"),
    ("train . --betas 0.5 1", "--betas 0.5 1.0: must be at least 0 and below 1"),
    ("train . --projected-weight -1", "--projected-weight -1.0: must be at least 0"),
    ("train . --augment-probability 0", "--augment-probability 0.0: must be above 0 and at most 1"),
    ("train . --width 12", "--width 12: must be at least 8, at most 4096 and a multiple of 8"),
    ("train . --seed -1", "--seed -1: must be at least 0"),
    ("train . --micro-batch 3", "--micro-batch 3: does not divide --batch 8 evenly; use 2, 4 or 8"),
    ("train . --preset huge", "invalid choice 'huge' for argument '--preset'"),
    ("train . --sise 64", "--sise: no option of handful train; did you mean --size?"),
    ("train . --augment color blur", "invalid choice 'blur'"),
    ("train . --device tpu", "--device tpu: not available"),
    (
        "generate nowhere --out x",
        "nowhere: does not exist; give a run folder, a model folder, a .safetensors file or hf:owner/name",
    ),
    ("generate . --out x --seeds 5-2", "--seeds 5-2: the range 5-2 ends before it starts"),
    ("generate . --out x --seeds 1,,2", "--seeds 1,,2: '' is not a number or a range like 0-63"),
    ("generate . --out x --seeds all", "--seeds all: 'all' is not a number or a range like 0-63"),
    ("generate . --seeds 1", "nowhere to write to: give --out DIR"),
    ("describe --size 33", "--size 33: sides must be"),
    ("xyz", "xyz: no such command; handful --help lists them"),
    ("project .", "PHOTOS: is missing; give picture files or folders of them"),
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
    assert cli.main([*arguments, "--grid", str(tmp_path / "grid.png"), "--batch", "3"]) == 0
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
    assert "resuming from step 2 of 3" in said.err
    assert json.loads(said.out)["model"] == str(run / "model")
    assert "--size was 32 and is now 64" in refused(["train", str(photos), "--run", str(run), "--size", "64"], capsys)
    assert "--preset was tiny and is now paper" in refused(
        ["train", str(photos), "--run", str(run), "--preset", "paper", "--size", "256"], capsys
    )


def test_the_same_command_resumes_a_run_whatever_flags_it_has(photos, tmp_path):
    flags = "--no-mirror --no-report --recompute --score-every 0"
    options = f"--preset tiny --size 32 --width 8 --batch 2 --steps 1 --device cpu {flags} --run {tmp_path / 'run'}"
    for _ in range(2):
        assert cli.main(["train", str(photos), *options.split()]) == 0


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("handful")
