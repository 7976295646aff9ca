"""A run writes and removes files in a folder of its own only."""

import pytest
from small_runs import small

from handful.errors import UsageError
from handful.progress import Quiet
from handful.training.loop import train


def test_a_folder_that_is_not_empty_and_holds_no_run_is_refused_and_left_alone(photos, tmp_path):
    folder = tmp_path / "home"
    (folder / "thesis" / "checkpoints").mkdir(parents=True)
    kept = [folder / ".draft.12.part", folder / "thesis" / ".step-00000001.12.part", folder / "thesis" / "a.tex"]
    for path in kept:
        path.write_text("years of work")
    with pytest.raises(UsageError, match=r"home: is not empty and holds no run \(thesis\); choose another run"):
        train(small(photos, folder), Quiet())
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(kept)


def test_a_run_without_its_settings_is_not_begun_again_over_its_checkpoints(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=1)
    train(config, Quiet())
    (config.folder / "config.json").unlink()
    with pytest.raises(UsageError, match=r"if it was a run, its config\.json is lost"):
        train(config, Quiet())
    assert (config.folder / "checkpoints" / "step-00000001").is_dir()


def test_a_file_in_place_of_the_folder_is_refused(photos, tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(UsageError, match=r"run: is a file; choose another run"):
        train(small(photos, tmp_path / "run"), Quiet())


@pytest.mark.parametrize("name", [".DS_Store", "lost+found"])
def test_what_systems_put_into_an_empty_folder_is_no_obstacle(photos, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("x")
    train(small(photos, tmp_path / "run", steps=1), Quiet())
    assert (tmp_path / "run" / name).exists()


def test_a_run_removes_what_it_left_half_written_and_nothing_else(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=1)
    train(config, Quiet())
    own = ["checkpoints/.step-00000003.1.part", "samples/.step-00000003.png.1.part", "best/.score.json.ab.part"]
    others = ["mine/.step-00000003.1.part", ".score.json.ab.part", "samples/.holiday.mp4.part"]
    for name in own + others:
        (config.folder / name).parent.mkdir(exist_ok=True)
        (config.folder / name).write_text("x")
    train(config, Quiet())
    assert not [name for name in own if (config.folder / name).exists()]
    assert all((config.folder / name).exists() for name in others)
