"""The card of a model on the Hub: what it draws, how to load it, what it was trained on, and how good it is."""

from __future__ import annotations

import re
from typing import Any

from handful import templates
from handful.config.sizes import spelled
from handful.config.text import HUB
from handful.errors import UsageError, escaped
from handful.images.channels import CHANNEL_NAMES
from handful.records.run_folder import RunFolder
from handful.records.verdict import Verdict
from handful.reporting.facts import facts
from handful.sampling.model import Model

LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")

MARKDOWN = re.compile(r"([\\`*_\[\]<>|#{}])")
"""Letters that mean something in Markdown; names of classes may hold them."""

UNKNOWN_COPIES = "Copies were not counted: compare with your own images before you rely on it."


def write_card(model: Model, repository: str, license: str | None, pictures: str) -> str:
    """Return the card of a model.

    Args:
        model: The model; its run, if there is one, tells of the training.
        repository: Its name on the Hub.
        license: Licence of the training images, as the Hub spells it.
        pictures: What ``pictures.png`` shows; empty if there is none.
    """
    config, run = model.config, model.run
    verdict = run.verdict if run is not None else None
    scored = verdict is not None and verdict.scored
    kind = f"{spelled(config.shape)} px {CHANNEL_NAMES[config.channels]}"
    images = f", trained on {run.settings.images:,} images" if run is not None else ""
    environment = templates.environment("handful.exporting", autoescape=False, trailing_newline=True)
    text = environment.get_template("card.md").render(
        repository=repository,
        title=repository.split("/")[1],
        summary=f"A FastGAN that draws {kind} pictures{images}. Made with handful.",
        license=license,
        dataset=dataset_of(run),
        pictures=pictures,
        classes=[plain(name) for name in config.classes],
        facts=[(name, plain(value)) for name, value in training_facts(model)],
        findings=list(verdict.findings.values()) if verdict is not None and scored else [],
        step=f"{run.best_step:,}" if run is not None else "",
        copies=copies_sentence(verdict),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def check_license(license: str | None) -> None:
    """Check that a licence is spelled as the Hub spells them.

    Raises:
        UsageError: if it is not.
    """
    if license is not None and not LICENSE.fullmatch(license):
        raise UsageError(f"--license {license}: must be an identifier of the Hub, such as cc-by-4.0, mit or other")


def training_facts(model: Model) -> list[tuple[str, str]]:
    """Return what is known of a model's training, as rows."""
    if model.run is None:
        count = sum(parameter.numel() for parameter in model.network.parameters())
        return [("generator", f"{count / 1e6:.3g} M parameters"), ("fingerprint", model.fingerprint)]
    run = model.run
    rows = facts(run.settings, run.log, model)
    if run.config.projected_weight:
        rows.append(("projected heads", "looked through EfficientNet-Lite0, which was trained on photos"))
    return [*rows, ("fingerprint", model.fingerprint)]


def dataset_of(run: RunFolder | None) -> str | None:
    """Return the dataset of the Hub that a run trained on; None for images of another kind."""
    images = "" if run is None else str(run.config.images)
    return images.removeprefix(HUB).split(":")[0] if images.startswith(HUB) else None


def copies_sentence(verdict: Verdict | None) -> str:
    """Say how much is copied."""
    if verdict is None or verdict.copied.value is None:
        return UNKNOWN_COPIES
    return verdict.copied.sentence


def plain(text: Any) -> str:  # noqa: ANN401
    """Return a text that Markdown shows as it is."""
    return MARKDOWN.sub(r"\\\1", escaped(str(text)))
