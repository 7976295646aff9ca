"""The web page of a model is one file that runs nothing but its own script."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import handful
from handful.cli.main import main
from handful.errors import UsageError
from handful.exporting import web
from handful.exporting.web_weights import SQUARE, Weights, pack
from handful.networks.latent import from_seeds
from support.models import made

PAGE = Path(web.__file__).parent / "page"

NASTY = "</script><script>alert(1)</script><!--"


@pytest.fixture(scope="module")
def model():
    return made(latent=32, classes=("cats", NASTY))


@pytest.fixture(scope="module")
def source(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "birds"
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def html(model) -> str:
    return web.render(model, NASTY, "cc-by-4.0")


def test_names_and_titles_cannot_run_script(html):
    assert html.count("<script") == 4
    assert "alert(1)</script>" not in html
    described = json.loads(re.search(r'id="model">(.*?)</script>', html)[1])
    assert described["classes"] == ["cats", NASTY]


def test_the_policy_allows_the_pages_own_script_and_no_network(html):
    policy = re.search(r'Content-Security-Policy" content="(.*?)">', html)[1].replace("&#39;", "'")
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    assert "http" not in policy
    assert not re.search(r"""(src|href)="(?!data:)""", html)


def test_the_page_carries_a_picture_of_pytorch_to_compare_with(html, model):
    described = json.loads(re.search(r'id="model">(.*?)</script>', html)[1])
    assert base64.b64decode(described["check"]) == np.asarray(model.images([0])[0]).tobytes()


def test_a_page_of_thousands_of_classes_is_written(tmp_path):
    many = made(latent=8, classes=tuple(f"kind {index}" for index in range(3000)))
    html = web.write_web(many, tmp_path / "page.html", "birds").read_text()
    assert html.count("<option") == 3001


def test_the_page_names_the_licence_of_the_images(html):
    assert "images: cc-by-4.0" in html


def test_weights_are_unpacked_to_the_same_bytes():
    weights = Weights()
    values = torch.randn(3, 5)
    assert weights.add(torch.zeros(2)) == [0, 2]
    assert weights.add(values) == [2, 15]
    planes = np.frombuffer(zlib.decompress(base64.b64decode(weights.packed())), np.uint8).reshape(4, -1)
    assert np.array_equal(planes.T.copy().view("<f4").ravel()[2:], values.numpy().ravel())


def test_a_kernel_is_packed_four_outputs_at_a_time():
    weights = Weights()
    kernel, bias = torch.randn(5, 2, 9), torch.randn(5)
    assert pack(kernel, bias, SQUARE, weights)["start"] == 0
    blocks = weights.arrays[0].reshape(2, 19, 4)
    assert np.array_equal(blocks[0, 0], bias[:4])
    assert blocks[1, 0, 0] == bias[4]
    assert blocks[0, 1 + 9 + 3, 2] == kernel[2, 1, 3]
    assert not blocks[1, :, 1:].any()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX2", reason="PyTorch's AVX2 code is what is ported")
def test_javascript_draws_the_random_numbers_of_pytorch(tmp_path):
    shutil.copy(PAGE / "random.js", tmp_path / "random.mjs")
    seeds, shapes = [0, 7, 2**32 + 5, 2**40 + 3], [(4, 6), (5, 7), (2, 2), (64, 64)]
    lengths = [256, 13]
    script = (
        f"import {{ drawSeed }} from '{(tmp_path / 'random.mjs').as_uri()}';"
        f"const shapes = {[*map(list, shapes)]};"
        f"const drawn = {lengths}.map((length) => {seeds}.map((seed) => drawSeed(seed, length, shapes)));"
        "const plain = ({ z, noise }) => [z, ...noise].map((numbers) => [...numbers]);"
        "console.log(JSON.stringify(drawn.map((all) => all.map(plain))));"
    )
    answer = subprocess.run(
        ["node", "--input-type=module", "--eval", script], capture_output=True, text=True, check=True, timeout=60
    )
    for length, found in zip(lengths, json.loads(answer.stdout), strict=True):
        z, noise = from_seeds(seeds, length, shapes, torch.device("cpu"))
        for index, drawn in enumerate(found):
            for own, theirs in zip(drawn, [z[index], *(maps[index] for maps in noise)], strict=True):
                assert np.array_equal(np.array(own, np.float32), theirs.numpy().ravel())


def test_the_command_writes_the_page(source, tmp_path, capsys):
    assert main(["export", str(source), "--format", "web", "--out", str(tmp_path / "birds.html")]) == 0
    assert "birds.html" in capsys.readouterr().out
    assert "<title>birds" in (tmp_path / "birds.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp16"}, "precision fp16: has no effect"),
        ({"output": "float"}, "output float: has an effect"),
        ({"out": "page.onnx"}, "must end in .html"),
    ],
)
def test_what_a_page_cannot_do_is_refused(options, words, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(words)):
        handful.export(source, "web", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_model_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UsageError):
        handful.export(tmp_path, "web", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
