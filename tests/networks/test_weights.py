import hashlib
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch

from handful.errors import WeightsError
from handful.networks.pretrained import weights
from handful.networks.pretrained.loading import read_tensors
from handful.networks.pretrained.weights import LPIPS_VGG, VGG16, find, locate
from handful.progress import Quiet, shown_on

CONTENT = b"the right bytes"
PACKAGE = "package_that_handful_tests_made_up"


def forbid_network(*args: object, **options: object) -> None:
    raise AssertionError("the network was used")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no weight files, no network and no packages; returns torch's (not yet made) cache folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", forbid_network)
    entry = replace(
        weights.TABLE[LPIPS_VGG],
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        packages=((PACKAGE, "inside/vgg.pth"),),
    )
    monkeypatch.setitem(weights.TABLE, LPIPS_VGG, entry)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that carries the file and fails when it is imported; returns the file's path."""
    folder = tmp_path / "site" / PACKAGE
    (folder / "inside").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('the package was imported')")
    (folder / "inside" / "vgg.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(folder.parent)
    return folder / "inside" / "vgg.pth"


def serve_from(url: str, monkeypatch: pytest.MonkeyPatch, urlopen: object) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setitem(weights.TABLE, LPIPS_VGG, replace(weights.TABLE[LPIPS_VGG], url=url))


REAL_URLOPEN = urllib.request.urlopen


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_every_entry_has_a_whole_hash_and_an_address_that_is_encrypted() -> None:
    for name, entry in weights.TABLE.items():
        assert entry.name == name
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.url.startswith("https://")
        assert entry.licence
        assert entry.purpose
        assert entry.size > 0
    assert weights.TABLE[VGG16].sha256.startswith("397923af"), "torchvision puts the hash into the name"


def test_nothing_is_found_on_an_empty_machine() -> None:
    assert find(LPIPS_VGG) is None


def test_the_named_folder_goes_before_the_variable_the_cache_and_a_package(
    tmp_path: Path, cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(LPIPS_VGG) == package
    alias = put(cache / "vgg.pth")
    assert find(LPIPS_VGG) == alias
    in_cache = put(cache / LPIPS_VGG)
    assert find(LPIPS_VGG) == in_cache
    in_variable = put(tmp_path / "variable" / LPIPS_VGG)
    monkeypatch.setenv("HANDFUL_WEIGHTS", str(in_variable.parent))
    assert find(LPIPS_VGG) == in_variable
    in_folder = put(tmp_path / "folder" / "vgg.pth")
    assert find(LPIPS_VGG, in_folder.parent) == in_folder
    assert locate(LPIPS_VGG, in_folder.parent) == in_folder


def test_a_folder_without_the_file_leaves_the_other_places(tmp_path: Path, cache: Path) -> None:
    in_cache = put(cache / LPIPS_VGG)
    assert find(LPIPS_VGG, tmp_path) == in_cache


def test_the_cache_follows_xdg_where_torch_home_is_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    path = put(tmp_path / "xdg" / "torch" / "hub" / "checkpoints" / LPIPS_VGG)
    assert find(LPIPS_VGG) == path


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"weights is .*nowhere, which is not a folder\. Create it"):
        find(LPIPS_VGG, tmp_path / "nowhere")
    monkeypatch.setenv("HANDFUL_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsError, match=r"\$HANDFUL_WEIGHTS is .*nowhere"):
        find(LPIPS_VGG)


def test_a_file_cut_short_is_an_error_even_where_a_good_one_lies_further_down(cache: Path, package: Path) -> None:
    path = put(cache / LPIPS_VGG, CONTENT[:5])
    with pytest.raises(WeightsError) as caught:
        locate(LPIPS_VGG)
    message = str(caught.value)
    assert str(path) in message
    assert hashlib.sha256(CONTENT).hexdigest()[:12] in message
    assert hashlib.sha256(CONTENT[:5]).hexdigest()[:12] in message
    assert "5 bytes, not 15" in message
    assert "Delete it and run the command again, or replace it with https://" in message


def test_a_wrong_file_under_a_common_name_need_not_be_deleted(cache: Path) -> None:
    put(cache / "vgg.pth", b"weights of something else")
    with pytest.raises(WeightsError, match=f"leave it and put that file into {cache} as {LPIPS_VGG}"):
        find(LPIPS_VGG)
    right = put(cache / LPIPS_VGG)
    assert find(LPIPS_VGG) == right


def test_a_missing_file_that_may_not_be_downloaded_says_what_to_put_where(cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        locate(LPIPS_VGG, download=False)
    message = str(caught.value)
    assert message.startswith("lpips_vgg.pth is missing (the linear heads of LPIPS v0.1")
    assert "Download https://raw.githubusercontent.com/" in message
    assert "named lpips_vgg.pth or vgg.pth" in message
    assert f"into {cache}, or a folder that you name with weights or $HANDFUL_WEIGHTS" in message


def test_a_missing_file_belongs_in_the_folder_that_was_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"into {tmp_path}[.]$"):
        locate(LPIPS_VGG, tmp_path, download=False)


def test_a_download_lands_in_the_cache_and_is_found_from_then_on(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_from(put(tmp_path / "far" / "away").as_uri(), monkeypatch, REAL_URLOPEN)
    monkeypatch.setattr(weights, "CHUNK_BYTES", 10)
    seen: list[tuple[str, int, int]] = []
    progress = Quiet()
    progress.advance = lambda *state: seen.append(state)
    with shown_on(progress):
        path = locate(LPIPS_VGG)
    assert path == cache / LPIPS_VGG
    assert path.read_bytes() == CONTENT
    assert seen == [(f"downloading {LPIPS_VGG}", done, 15) for done in (10, 15)]
    monkeypatch.setattr(urllib.request, "urlopen", forbid_network)
    assert locate(LPIPS_VGG) == path
    assert list(cache.iterdir()) == [path]


def test_a_download_of_the_wrong_bytes_leaves_nothing_behind(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_from(put(tmp_path / "far" / "away", b"an error page").as_uri(), monkeypatch, REAL_URLOPEN)
    with pytest.raises(WeightsError, match=r"failed: the download has 13 bytes and a SHA-256 .* not kept\. Downl"):
        locate(LPIPS_VGG)
    assert list(cache.iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_from(put(tmp_path / "far" / "away").as_uri(), monkeypatch, REAL_URLOPEN)

    def interrupt(name: str, done: int, size: int) -> None:
        raise KeyboardInterrupt

    progress = Quiet()
    progress.advance = interrupt
    with pytest.raises(KeyboardInterrupt), shown_on(progress):
        locate(LPIPS_VGG)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from(put(tmp_path / "far" / "away").as_uri(), monkeypatch, REAL_URLOPEN)
    put(tmp_path / "torch", b"a file where the folder should be")
    with pytest.raises(WeightsError, match=f"downloading it to {tmp_path}/torch/hub/checkpoints failed"):
        locate(LPIPS_VGG)


class Answer(BaseHTTPRequestHandler):
    """Answers as the path says: /good, /short (the connection drops), anything else 404."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in {"/good", "/short"} else 404)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:5] if self.path == "/short" else CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_web_server_is_downloaded_from(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from(f"{server}/good", monkeypatch, REAL_URLOPEN)
    assert locate(LPIPS_VGG).read_bytes() == CONTENT


@pytest.mark.parametrize(("page", "reason"), [("short", "the download has 5 bytes"), ("gone", "HTTP Error 404")])
def test_a_web_server_that_fails_is_quoted(
    page: str, reason: str, server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_from(f"{server}/{page}", monkeypatch, REAL_URLOPEN)
    with pytest.raises(WeightsError, match=f"failed: {reason}.*Download http://127.0.0.1.*and put it, named"):
        locate(LPIPS_VGG)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("zipped", [True, False], ids=["today's format", "the format of 2017"])
def test_tensors_are_read(zipped: bool, tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(1, 2)}
    torch.save(tensors, tmp_path / "tensors.pth", _use_new_zipfile_serialization=zipped)
    assert {name: value.tolist() for name, value in read_tensors(tmp_path / "tensors.pth").items()} == {
        "a": [0.0, 1.0, 2.0],
        "b": [[1.0, 1.0]],
    }


def test_a_file_that_is_no_weight_file_is_an_error(tmp_path: Path) -> None:
    for content in (b"", b"<html>", b"PK\x03\x04"):
        path = put(tmp_path / "page.pth", content)
        with pytest.raises(WeightsError, match=r"cannot read .*page\.pth as a PyTorch weight file"):
            read_tensors(path)
    with pytest.raises(WeightsError, match=r"cannot read .*absent\.pth"):
        read_tensors(tmp_path / "absent.pth")
    torch.save({"a": 1}, tmp_path / "number.pth")
    with pytest.raises(WeightsError, match=r"number\.pth does not hold a dictionary of tensors"):
        read_tensors(tmp_path / "number.pth")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"a": Path("of a class that torch does not know")}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="cannot read"):
        read_tensors(tmp_path / "code.pth")
