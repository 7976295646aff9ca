"""The nodes of ComfyUI, called as ComfyUI calls them; ComfyUI itself is not here."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import handful
from handful.errors import UsageError
from support.models import made

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"


def load_nodes() -> ModuleType:
    """Import the folder as ComfyUI does with those in custom_nodes: as a package named after its path."""
    spec = importlib.util.spec_from_file_location("custom_nodes.handful", FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


NODES = load_nodes()


def run_node(name: str, **values) -> dict:
    """Fill in defaults, check values against the inputs that a node declares, and call it; return outputs by name."""
    node = NODES.NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    for input_name, (kind, *options) in (inputs["required"] | inputs.get("optional", {})).items():
        if isinstance(kind, list):
            assert values.setdefault(input_name, kind[0]) in kind
        elif options:
            value = values.setdefault(input_name, options[0]["default"])
            assert options[0].get("min", value) <= value <= options[0].get("max", value)
    with torch.inference_mode():
        results = getattr(node(), node.FUNCTION)(**values)
    assert len(results) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return dict(zip(node.RETURN_NAMES, results, strict=True))


@pytest.fixture
def source(tmp_path) -> Path:
    made(size="32x48", latent=16, channels=4, classes=("cats", "dogs")).save(tmp_path / "pets")
    return tmp_path / "pets"


def test_every_node_has_a_name_that_is_shown():
    assert set(NODES.NODE_CLASS_MAPPINGS) == set(NODES.NODE_DISPLAY_NAME_MAPPINGS)


def test_pictures_are_those_of_python_as_images_and_masks(source):
    model = run_node("HandfulLoadModel", source=str(source), device="cpu")["model"]
    drawn = run_node("HandfulDrawPictures", model=model, seed=2**40, count=3, truncation=0.7, class_name="dogs")
    own = model.images(range(2**40, 2**40 + 3), class_name="dogs", truncation=0.7)
    assert drawn["images"].shape == (3, *model.config.shape, 3)
    assert drawn["masks"].shape == (3, *model.config.shape)
    assert drawn["images"].dtype == drawn["masks"].dtype == torch.float32
    alpha = 1 - drawn["masks"]
    stored = torch.cat([drawn["images"], alpha[..., None]], dim=-1)
    assert np.array_equal((stored * 255).round().numpy(), np.stack([np.asarray(picture) for picture in own]))
    assert 0 < alpha.mean() < 1


def test_without_a_class_classes_come_in_turn(source):
    model = handful.load(source, "cpu")
    drawn = run_node("HandfulDrawPictures", model=model, count=2)["images"]
    own = [np.asarray(picture)[..., :3] for picture in model.images([0, 1])]
    assert np.array_equal((drawn * 255).round().numpy(), own)


@pytest.mark.parametrize("channels", [1, 3])
def test_opaque_pictures_have_three_channels_and_empty_masks(channels):
    drawn = run_node("HandfulDrawPictures", model=made(latent=8, channels=channels))
    assert drawn["images"].shape == (1, 32, 32, 3)
    assert not drawn["masks"].any()


def test_a_model_is_loaded_again_when_its_file_has_changed(source):
    loader = NODES.NODE_CLASS_MAPPINGS["HandfulLoadModel"]
    before = loader.IS_CHANGED(str(source), "cpu")
    assert loader.IS_CHANGED(str(source), "cpu") == before
    os.utime(source / "model.safetensors", ns=(0, 1))
    assert loader.IS_CHANGED(str(source), "cpu") != before


def test_what_is_wrong_is_said_in_handful_s_words(source):
    with pytest.raises(UsageError, match="nowhere: does not exist; give a run folder"):
        run_node("HandfulLoadModel", source="nowhere")
    model = handful.load(source, "cpu")
    with pytest.raises(UsageError, match="class_name newts: the model has no such class; it has cats, dogs"):
        run_node("HandfulDrawPictures", model=model, class_name="newts")
