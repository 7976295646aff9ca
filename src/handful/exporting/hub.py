"""Push a model to the Hugging Face Hub: weights, ONNX file, pictures and card. Needs the extras ``hub``, ``export``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from handful.config import budget
from handful.config.checks import checked
from handful.errors import UsageError
from handful.exporting.card import check_license, write_card
from handful.exporting.onnx import write_onnx
from handful.files import shortened
from handful.images.grid import write_png
from handful.progress import Progress, shown_on, working
from handful.reporting.pictures import samples
from handful.sampling.generate import note_source
from handful.sampling.hub import NAME
from handful.sampling.load import load
from handful.sampling.model import Model

CARD, ONNX, PICTURES = "README.md", "model.onnx", "pictures.png"

ATTRIBUTES = ".gitattributes"
"""The only file of a new repository."""

REASON_LETTERS = 240
"""Of what the Hub says, at most."""


@checked
def push(
    source: Path | str,
    repository: str,
    public: bool = False,
    license: str | None = None,
    pictures: bool = True,
    progress: Progress | None = None,
) -> str:
    """Push a model to the Hugging Face Hub, in one commit. The repository is created if it is new.

    It gets the model folder, ``model.onnx``, a grid of pictures, and a card made from the run. Training images are
    never sent. Log in first, with ``hf auth login`` or the variable HF_TOKEN.

    Args:
        source: A run folder, a model folder or a ``.safetensors`` file.
        repository: Its name on the Hub: owner/name.
        public: Let everybody see it. Needs ``license``.
        license: Licence of the training images, which the model gets too, as the Hub spells it: cc-by-4.0.
        pictures: Send a grid of generated pictures. They may show what the model repeats of the training images.
        progress: Shows progress. Default: the terminal.

    Returns:
        The address of the repository.

    Raises:
        UsageError: if there is no model, an option makes no sense, a package is missing, or the Hub refuses or cannot
            be reached. A repository that was created is deleted again then.
    """
    if not NAME.fullmatch(repository):
        raise UsageError(f"{repository}: is not the name of a repository; write owner/name")
    check_license(license)
    if public and license is None:
        raise UsageError("--public: needs --license, the licence of the training images, such as cc-by-4.0")
    api = hub_interface()
    model = load(source, "cpu")
    with shown_on(progress), tempfile.TemporaryDirectory() as folder:
        note_source(model)
        fill(Path(folder), model, repository, license, pictures)
        with working(f"sending to {repository}"):
            return send(api, Path(folder), repository, public)


def hub_interface() -> Any:  # noqa: ANN401
    """Return the interface to the Hub.

    Raises:
        UsageError: if huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UsageError(f"push: needs {error.name}; pip install 'handful[hub,export]'") from None
    return HfApi(library_name="handful")


def fill(folder: Path, model: Model, repository: str, license: str | None, pictures: bool) -> None:
    """Write everything that is sent into a folder.

    Raises:
        UsageError: as ``write_onnx``.
    """
    model.save(folder)
    write_onnx(model, folder / ONNX, license=license)
    about = ""
    if pictures:
        seeds = budget.current.grid_seeds
        about = f"Pictures of seeds {seeds[0]} to {seeds[-1]}"
        write_png(folder / PICTURES, samples(model))
    (folder / CARD).write_text(write_card(model, repository, license, about), encoding="utf-8")


def send(api: Any, folder: Path, repository: str, public: bool) -> str:  # noqa: ANN401
    """Create the repository if it is new, and commit the files of a folder to it; return its address.

    A new repository is deleted again if the commit fails.

    Raises:
        UsageError: if the repository is public, and that was not asked for; or the Hub refuses or cannot be reached.
    """
    try:
        check_card(folder / CARD, repository)
        is_new = not api.repo_exists(repository)
        address = str(api.create_repo(repository, private=not public, exist_ok=not is_new))
        if not public and not api.model_info(repository).private:
            raise UsageError(f"{repository}: is public on the Hub; add --public, or choose another name")
        with deleted_if_empty(api, repository, address) if is_new else nullcontext():
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Push from handful")
    except UsageError:
        raise
    except Exception as error:  # The Hub, its HTTP client and the disk share no base class of errors.
        raise UsageError(
            f"{repository}: the Hub did not take it ({reason_of(error)}); check the name and the network, and run: "
            "hf auth login"
        ) from error
    return address


def check_card(card: Path, repository: str) -> None:
    """Let the Hub check the metadata of a card, before there is a repository.

    Raises:
        UsageError: if the Hub does not know the licence, the one thing there that a user writes.
    """
    from huggingface_hub import ModelCard

    try:
        ModelCard.load(card).validate()
    except ValueError as error:
        reason = str(error)
        with suppress(ValueError, LookupError, TypeError):  # the Hub answers in JSON
            reason = "; ".join(problem["message"] for problem in json.loads(reason)["errors"])
        raise UsageError(f"{repository}: the Hub refuses the card ({in_a_line(reason)}); check --license") from error


@contextmanager
def deleted_if_empty(api: Any, repository: str, address: str) -> Iterator[None]:  # noqa: ANN401
    """Delete a new repository if the commit to it fails, also by Ctrl-C, unless the files are there all the same.

    Raises:
        UsageError: if the commit fails and the repository cannot be deleted.
    """
    try:
        yield
    except BaseException as error:
        try:
            files = {file.rfilename for file in api.model_info(repository).siblings or []}
            if files <= {ATTRIBUTES}:
                api.delete_repo(repository)
        except Exception:
            raise UsageError(
                f"{repository}: the Hub did not take it ({reason_of(error)}), and the new repository could not be "
                f"deleted; delete it at {address}/settings, or push again"
            ) from error
        raise


def reason_of(error: BaseException) -> str:
    """Return what went wrong, in a line."""
    return in_a_line(str(error)) or type(error).__name__


def in_a_line(text: str) -> str:
    """Return a text without line breaks, shortened."""
    return shortened(" ".join(text.split()), REASON_LETTERS)
