"""Models go to the Hub and come back, against a stand-in of its interface: the real one is out of reach."""

import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard

import handful
from handful.cli.main import main
from handful.errors import UsageError
from handful.exporting.card import write_card
from handful.metrics.samples import open_samples
from handful.records.run_folder import RunFolder
from handful.sampling.model import Model
from handful.training.transfer import read
from support.hub import Hub, serving
from support.models import made


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    constants = huggingface_hub.constants
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


@pytest.fixture(scope="module")
def model() -> Model:
    return made(latent=16, classes=("cats", "sea_lions"))


@pytest.fixture(scope="module")
def source(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "birds"
    model.save(folder)
    return folder


def test_a_model_that_was_pushed_is_loaded_from_everywhere(model, source, hub, tmp_path, capsys):
    address = handful.push(source, "me/birds", license="cc-by-4.0")
    assert address == f"{hub.address}/me/birds"
    repository = hub.repositories["me/birds"]
    assert repository.private
    assert set(repository.files) == {"README.md", "config.json", "model.onnx", "model.safetensors", "pictures.png"}
    loaded = handful.load("hf:me/birds", "cpu")
    assert loaded.fingerprint == model.fingerprint
    assert torch.equal(loaded.sample([7]), model.sample([7]))
    assert main(["generate", "hf:me/birds", "--seeds", "7", "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert (tmp_path / "out" / "seed-000007.png").is_file()
    assert main(["latents", "hf:me/birds", "--seeds", "1,2", "--out", str(tmp_path / "two.safetensors")]) == 0
    asked = len([line for line in hub.requests if line.startswith("GET /me/birds/resolve/main/model.safetensors")])
    assert asked == 1  # the next times it came from the cache


def test_a_model_on_the_hub_can_be_scored(model, source, hub):
    handful.push(source, "me/birds", pictures=False)
    assert "pictures.png" not in hub.repositories["me/birds"].files
    samples = open_samples(Path("hf:me/birds"), 4, None, "crop", "cpu")
    assert samples.model.fingerprint == model.fingerprint


def test_pushing_again_replaces_the_files(source, hub):
    handful.push(source, "me/birds", pictures=False)
    first = hub.repositories["me/birds"].files["README.md"]
    handful.push(source, "me/birds", pictures=False, license="mit")
    assert hub.repositories["me/birds"].files["README.md"] != first


def test_what_is_public_is_public_only_if_that_was_asked_for(source, hub):
    with pytest.raises(UsageError, match=r"public: needs license, the licence of the training images"):
        handful.push(source, "me/birds", public=True)
    assert hub.requests == []
    handful.push(source, "me/birds", public=True, license="mit", pictures=False)
    assert not hub.repositories["me/birds"].private
    del hub.repositories["me/birds"].files["README.md"]
    with pytest.raises(UsageError, match="me/birds: is public on the Hub; add public, or choose another name"):
        handful.push(source, "me/birds", license="mit", pictures=False)
    assert "README.md" not in hub.repositories["me/birds"].files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("birds", "birds: is not the name of a repository; write owner/name"),
        ("me/birds:x", "me/birds:x: is not the name of a repository; write owner/name"),
    ],
)
def test_a_name_that_no_repository_has_is_refused(name, message, source, hub):
    with pytest.raises(UsageError, match=re.escape(message)):
        handful.push(source, name)
    assert hub.requests == []


def test_what_the_hub_refuses_is_said_in_a_line(source, hub, monkeypatch, capsys):
    with pytest.raises(UsageError, match=r"license My own: must be an identifier of the Hub, such as cc-by-4\.0"):
        handful.push(source, "me/birds", license="My own")
    with pytest.raises(
        UsageError, match=r'me/birds: the Hub refuses the card \("license" must be one of .*; check license'
    ):
        handful.push(source, "me/birds", license="unheard-of", pictures=False)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["push", str(source), "me/new", "--no-pictures"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("handful: me/new: the Hub did not take it (")
    assert told.endswith("check the name and the network, and run: hf auth login")
    assert hub.repositories == {}


def test_a_push_that_fails_leaves_no_empty_repository(source, hub, tmp_path, monkeypatch):
    hub.refused = {"commit"}
    with pytest.raises(UsageError, match=r"me/birds: the Hub did not take it \(.*no commit today\); check the name"):
        handful.push(source, "me/birds", pictures=False)
    assert hub.repositories == {}
    hub.refused = {"commit", "delete"}
    told = (
        rf"no commit today\), and the new repository could not be deleted; delete it at {hub.address}/me/birds/settings"
    )
    with pytest.raises(UsageError, match=told):
        handful.push(source, "me/birds", pictures=False)
    assert hub.repositories["me/birds"].files == {}
    hub.refused = set()
    handful.push(source, "me/birds", pictures=False)
    files = dict(hub.repositories["me/birds"].files)
    hub.refused = {"commit"}
    with pytest.raises(UsageError, match="no commit today"):
        handful.push(source, "me/birds", license="mit", pictures=False)
    assert hub.repositories["me/birds"].files == files  # a repository that was there stays


def test_a_push_that_is_interrupted_leaves_no_empty_repository(source, hub, monkeypatch):
    def interrupt(*values, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", interrupt)
    with pytest.raises(KeyboardInterrupt):
        handful.push(source, "me/birds", pictures=False)
    assert hub.repositories == {}


def test_a_repository_that_got_the_files_is_kept_although_the_answer_is_lost(source, hub, monkeypatch):
    upload = huggingface_hub.HfApi.upload_folder

    def lose_the_answer(self, **options):
        upload(self, **options)
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lose_the_answer)
    with pytest.raises(UsageError, match="reset by peer"):
        handful.push(source, "me/birds", pictures=False)
    assert "model.safetensors" in hub.repositories["me/birds"].files


def test_a_run_can_start_from_a_model_of_the_hub(model, source, hub):
    handful.push(source, "me/birds", pictures=False)
    trained = read(Path("hf:me/birds"))
    assert trained.config == model.config
    assert torch.equal(trained.generator["to_image.weight"], model.network.state_dict()["to_image.weight"])


def test_a_model_that_is_not_there_or_not_ours_is_refused(source, hub, monkeypatch):
    with pytest.raises(UsageError, match=r"hf:me/none: the Hub has no such model with a model\.safetensors; check"):
        handful.load("hf:me/none")
    handful.push(source, "me/birds", pictures=False)
    repository = hub.repositories["me/birds"]
    repository.files["model.safetensors"] = repository.files["model.safetensors"][:-4]
    with pytest.raises(UsageError, match=r"model\.safetensors: cannot be read as a model"):
        handful.load("hf:me/birds")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="hf:me/other: cannot be downloaded from the Hub"):
        handful.load("hf:me/other")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"hf:me/birds: needs huggingface_hub; pip install 'handful\[hub\]'"):
        handful.load("hf:me/birds")
    with pytest.raises(UsageError, match=r"push: needs huggingface_hub; pip install 'handful\[hub,export\]'"):
        handful.push(source, "me/birds")


def test_the_card_tells_of_the_model_and_has_metadata_that_the_hub_reads(model):
    text = write_card(model, "me/birds", "cc-by-4.0", "Pictures of seeds 0 to 35")
    card = ModelCard(text)
    assert card.data.to_dict() == {
        "library_name": "handful", "license": "cc-by-4.0", "pipeline_tag": "unconditional-image-generation",
        "tags": ["handful", "fastgan", "gan", "image-generation", "onnx"],
    }  # fmt: skip
    assert "32 px RGB pictures." in card.text
    assert 'handful.load("hf:me/birds")' in card.text
    assert r"2 classes: cats, sea\_lions." in card.text
    assert "Their licence: cc-by-4.0." in card.text
    assert model.fingerprint in card.text
    assert "Copies were not counted" in card.text
    assert "\n\n\n" not in text


@pytest.mark.slow
def test_the_card_of_a_run_has_its_numbers_and_no_folder_of_this_machine(photos, tmp_path):
    run = tmp_path / "secret" / "run"
    config = handful.tiny(photos, size=32, steps=2, batch=4, device="cpu", compile="off", run=run, report=False,
                          score_every=2, score_features="random")  # fmt: skip
    model = handful.train(config)
    verdict = RunFolder(run).verdict
    card = ModelCard(write_card(model, "me/birds", None, ""))
    assert card.data.license is None
    assert "trained on 12 images" in card.text
    assert "Their licence was not stated." in card.text
    for finding in verdict.findings.values():
        assert f"| **{finding.question}** | {finding.answer} | {finding.sentence}" in card.text
    assert "| steps | 2 of 2 |" in card.text
    assert verdict.copied.sentence in card.text.split("## Limits")[1]
    assert "pictures.png" not in card.text
    assert str(tmp_path) not in card.text
    assert "secret" not in card.text
    assert str(photos) not in card.text


@pytest.mark.slow
def test_the_commands_reach_the_hub_that_the_environment_names(source, tmp_path):
    with serving() as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_TOKEN": hub.token, "HF_HOME": str(tmp_path / "hf")}
        command = [sys.executable, "-m", "handful"]
        pushed = subprocess.run([*command, "push", source, "me/birds"], env=environment, check=False)
        assert pushed.returncode == 0
        drawn = [*command, "generate", "hf:me/birds", "--seeds", "0-3", "--grid", tmp_path / "grid.png"]
        assert subprocess.run(drawn, env=environment, check=False).returncode == 0
    assert (tmp_path / "grid.png").is_file()
