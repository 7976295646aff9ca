"""The experiment runner: what it plans, that it goes on where it was, and what its table says."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

import handful

PATH = Path(__file__).parents[2] / "experiments" / "run.py"
spec = importlib.util.spec_from_file_location("experiments_run", PATH)
experiments = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(experiments)

TABLE = """
[common]
preset = "tiny"
size = 32
precision = "fp32"
report = false
steps = 2
batch = 4
augment = ["color"]

[variants.plain]

[variants.held]
lattice_penalty = 0.3
"""


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "table.toml"
    path.write_text(TABLE)
    return path


def planned(table: Path, tmp_path: Path, **changes):
    given = {"sets": [f"a={tmp_path}", f"b={tmp_path}"], "seeds": [0, 1], "only": None, "features": "random"}
    given |= {"changes": []} | changes
    return experiments.plan(table, out=tmp_path / "out", **given)


def test_all_of_one_seed_comes_before_the_next(table, tmp_path):
    cells = planned(table, tmp_path)
    assert [(cell.seed, cell.set, cell.variant) for cell in cells][:5] == [
        (0, "a", "plain"),
        (0, "a", "held"),
        (0, "b", "plain"),
        (0, "b", "held"),
        (1, "a", "plain"),
    ]
    config = cells[1].config()
    assert (config.lattice_penalty, config.augment, config.width, config.seed) == (0.3, ("color",), 8, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only": ["lost"]}, "--only lost: .* has plain, held"),
        ({"sets": ["a=nowhere"]}, "--sets a=nowhere: there is no"),
        ({"changes": ["steps"]}, "--with steps: write OPTION=VALUE"),
        ({"changes": ["wide=32"]}, "table.toml, plain: options: unknown option wide"),
        ({"changes": ["steps=0"]}, "table.toml, plain: steps 0: must"),
        ({"changes": ["preset=best"]}, "table.toml, plain: preset best: must be default, paper or tiny"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(table, tmp_path, changes, message):
    with pytest.raises(SystemExit, match=message):
        planned(table, tmp_path, **changes)
    assert not (tmp_path / "out").exists()


def test_common_options_can_be_changed_and_those_of_a_variant_stay(table, tmp_path):
    changes = ["steps=3", "precision=bf16", 'augment=["translation"]', "lattice_penalty=0.1"]
    plain, held = (cell.config() for cell in planned(table, tmp_path, changes=changes)[:2])
    assert (plain.steps, plain.precision, plain.augment, plain.width) == (3, "bf16", ("translation",), 8)
    assert (plain.lattice_penalty, held.lattice_penalty) == (0.1, 0.3)


def test_every_table_in_the_repository_can_be_planned(tmp_path):
    for path in PATH.parent.glob("*.toml"):
        assert planned(path, tmp_path)


def test_a_run_is_done_once_and_only_for_its_own_options(table, tmp_path, monkeypatch):
    from handful.example.flowers import draw

    draw(tmp_path / "photos", 12, 32)
    (cell,) = planned(table, tmp_path, sets=[f"a={tmp_path / 'photos'}"], seeds=[0], only=["held"])
    first = experiments.run(cell)
    assert first["steps"] == 2
    assert set(experiments.SCORES) <= first.keys()
    monkeypatch.setattr("handful.train", lambda *_: pytest.fail("trained again"), raising=False)
    assert experiments.run(cell) == first
    cell.options["lattice_penalty"] = 0.1
    with pytest.raises(ValueError, match=r"result\.json is of other options"):
        experiments.run(cell)


@pytest.mark.slow
def test_a_run_that_was_stopped_is_not_taken_for_done(table, tmp_path, monkeypatch):
    from handful.example.flowers import draw

    draw(tmp_path / "photos", 12, 32)
    (cell,) = planned(table, tmp_path, sets=[f"a={tmp_path / 'photos'}"], seeds=[0], only=["plain"])
    train = handful.train
    monkeypatch.setattr("handful.train", lambda config, progress: train(dataclasses.replace(config, steps=1), progress))
    with pytest.raises(InterruptedError, match="stopped at step 1"):
        experiments.run(cell)
    assert not (cell.folder / "result.json").exists()
    monkeypatch.setattr("handful.train", train)
    assert experiments.run(cell)["steps"] == 2


@pytest.mark.processes
def test_runs_end_with_the_program_that_started_them(table, tmp_path):
    from handful.example.flowers import draw

    draw(tmp_path / "photos", 12, 32)
    table.write_text(TABLE.replace("steps = 2", "steps = 1_000_000\nlog_every = 1"))
    arguments = [str(table), "--sets", f"a={tmp_path / 'photos'}", "--out", str(tmp_path / "out")]
    program = subprocess.Popen([sys.executable, str(PATH), *arguments], stderr=subprocess.DEVNULL)
    first, second = (tmp_path / "out" / "a" / name / "seed-0" for name in ("plain", "held"))
    wait_for(lambda: (first / "log.jsonl").exists())
    program.kill()
    program.wait()
    with FileLock(first / ".lock", timeout=100):  # it has left
        assert list((first / "checkpoints").iterdir())
    time.sleep(1)
    assert not second.exists()


def wait_for(come: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not come():
        assert time.monotonic() < end
        time.sleep(0.1)


def result(variant: str, seed: int, distance: float) -> dict:
    scores = dict.fromkeys(experiments.SHOWN, 0.5) | {"distance": distance, "squeezenet_distance": 2 * distance}
    scores |= {"squeezenet_variety": 0.4 + (variant == "held") / 5}
    return {"set": "a", "variant": variant, "seed": seed} | scores | {"periodicity": None}


@pytest.mark.parametrize("second", [True, False])
def test_the_table_ranks_and_compares_runs_of_the_same_set_and_seed(table, tmp_path, second):
    cells = planned(table, tmp_path, sets=[f"a={tmp_path}"])
    distances = {("plain", 0): 1.0, ("plain", 1): 3.0, ("held", 0): 0.5, ("held", 1): 1.5}
    for cell in cells:
        cell.folder.mkdir(parents=True)
        entry = result(cell.variant, cell.seed, distances[cell.variant, cell.seed])
        if not second:
            entry |= {"squeezenet_distance": None, "squeezenet_variety": None}
        (cell.folder / "result.json").write_text(json.dumps(entry))
    experiments.write_table(tmp_path / "out", cells)
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| plain", "| held"))]
    assert rows[0].startswith("| held | 2 | 0.500 ± 0.000 | 0.50 ± 0.00 | 1.0 ± 0.7 |")
    assert rows[1].startswith("| plain | 2 | 0.500 ± 0.000 | 0.50 ± 0.00 | 2.0 ± 1.4 |")
    assert rows[2] == (
        "| held | 2 | 0.50 | 0.50 | 2 | 1.50 | +0.000 |" if second else "| held | 2 | 0.50 | - | 2 | - | +0.000 |"
    )
    assert rows[3] == (
        "| plain | 2 | 1.00 | 1.00 | 0 | 1.00 | +0.000 |" if second else "| plain | 2 | 1.00 | - | 0 | - | +0.000 |"
    )
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 4
