"""``handful train --config FILE``, ``--preset`` and ``--recipe``."""

import json
import tomllib
from pathlib import Path

import pytest

from handful.cli.main import COMMANDS
from handful.config.presets import RECIPES, default, paper, tiny
from handful.errors import UsageError
from handful.records.settings import reconcile

ROOT = Path(__file__).parents[2]


def asked(*arguments):
    """The config that ``handful train photos`` makes of these arguments."""
    return COMMANDS["train"].read(["photos", *map(str, arguments)])["options"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "options.toml"
    path.write_text('preset = "tiny"\nsize = 32\nminutes = 5\naugment = ["color"]\nlearning_rate = 1e-3\n')
    return path


def test_the_command_line_overrides_the_file_which_overrides_the_preset(file):
    config = asked("--config", file, "--minutes", 7)
    assert config == tiny("photos", size=32, minutes=7.0, augment=("color",), learning_rate=1e-3)
    assert asked(f"--config={file}", "--preset", "default").width == 64


def test_the_config_json_of_a_run_is_a_file_of_options_without_its_images_and_folder(tmp_path):
    saved = default("others", run="elsewhere", recipe="published", size=64, width=8)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"options": saved.to_json()}))
    assert asked("--config", path) == default("photos", recipe="published", size=64, width=8)


@pytest.mark.parametrize("table", sorted(ROOT.glob("experiments/*.toml")), ids=lambda path: path.stem)
def test_a_variant_of_an_experiment_table_is_a_file_of_options(table):
    with pytest.raises(UsageError, match="the table has several variants; add one"):
        asked("--config", table)
    for variant in tomllib.loads(table.read_text(encoding="utf-8"))["variants"]:
        assert asked("--config", f"{table}:{variant}").size == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sise = 32", "unknown option sise; did you mean size?"),
        ("size = ", "is neither TOML nor the config.json of a run"),
        ("steps = 2.5", "steps 2.5: must be a whole number"),
        ('fit = "stretch"', "fit stretch: must be crop or squash"),
        ('recipe = "publshed"', "recipe publshed: must be default, scratch or published; did you mean published?"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(text, message, tmp_path):
    path = tmp_path / "options.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        asked("--config", path)
    assert message in str(error.value)


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match=r"config nowhere\.toml: cannot be read"):
        asked("--config", "nowhere.toml")


def test_a_recipe_goes_with_any_preset_and_the_paper_has_the_published_one():
    published = RECIPES["published"]
    assert default("photos", recipe="scratch") == default("photos", projected_weight=0.0)
    for config in (
        asked("--preset", "paper"),
        asked("--preset", "tiny", "--recipe", "published"),
        default("photos", recipe="published"),
    ):
        assert {name: getattr(config, name) for name in published} == published
    assert asked("--preset", "paper") == paper("photos")
    assert asked("--preset", "paper", "--recipe", "default") == paper("photos", recipe="default")
    assert paper("photos", recipe="default").projected_weight == default("photos").projected_weight > 0


def test_a_run_that_exists_keeps_its_recipe(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = tiny("photos", run=run, recipe="published")
    saved = {"options": config.to_json(), "fingerprint": "", "images": 4}
    (run / "config.json").write_text(json.dumps(saved))
    assert asked("--run", run) == config
    assert asked("--run", run, "--recipe", "published") == config
    with pytest.raises(UsageError, match=r"lattice_penalty was 0\.0 and is now 1\.0"):
        reconcile(asked("--run", run, "--recipe", "default"), config)
