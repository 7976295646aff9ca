"""The worked example of docs/research.md."""

import importlib.util
from pathlib import Path

from safetensors.torch import load_file

from handful.objective import losses
from handful.records.layout import MODEL, WEIGHTS

ROOT = Path(__file__).parents[2]


def test_the_part_trains_another_model_than_the_loss_that_it_replaces(photos, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("experiments_part", ROOT / "experiments" / "part.py")
    part = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(part)
    monkeypatch.setattr(losses, "generator_loss", losses.generator_loss)
    tiny = part.handful.tiny
    small = {"size": 32, "batch": 4, "device": "cpu", "report": False, "score_every": 0}
    monkeypatch.setattr(part.handful, "tiny", lambda images, **options: tiny(images, **options | small))
    part.main([str(photos), str(tmp_path), "--steps", "2"])
    hinge, logistic = (load_file(tmp_path / name / MODEL / WEIGHTS) for name in ("hinge", "logistic"))
    assert any(not value.equal(logistic[name]) for name, value in hinge.items())
    assert [line for line in capsys.readouterr().out.splitlines() if line.isalpha()] == ["hinge", "logistic"]


def test_the_page_shows_the_example_as_it_is():
    code = (ROOT / "experiments" / "part.py").read_text(encoding="utf-8").partition("import argparse\n")[2]
    lines = [line for line in code.splitlines() if line]
    page = (ROOT / "docs" / "research.md").read_text(encoding="utf-8").splitlines()
    start = page.index("import torch.nn.functional as F")
    assert [line for line in page[start : page.index("```", start)] if line] == lines
