"""Models of the Hugging Face Hub: ``hf:owner/name``. Needs the extra ``hub``."""

from __future__ import annotations

import re
from pathlib import Path

from handful.config.text import HUB
from handful.data.hub import hub_error
from handful.errors import UsageError
from handful.records.layout import WEIGHTS

NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""The name of a repository."""


def fetch_weights(source: str) -> Path | None:
    """Return the weight file of a model of the Hub, downloaded unless it is in the Hub's cache.

    None if the Hub has no such model, or the model is not one of ours.

    Raises:
        UsageError: if huggingface_hub is missing, or the download fails.
    """
    name = source.removeprefix(HUB)
    if not NAME.fullmatch(name):
        return None
    try:
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise UsageError(f"{source}: needs {error.name}; pip install 'handful[hub]'") from None
    try:
        return Path(huggingface_hub.hf_hub_download(name, WEIGHTS))
    except LocalEntryNotFoundError as error:  # an EntryNotFoundError, although the Hub was never reached
        raise hub_error(source, error, "model") from error
    except (EntryNotFoundError, RepositoryNotFoundError):
        return None
    except Exception as error:  # The Hub, its HTTP client and the disk share no base class of errors.
        raise hub_error(source, error, "model") from error
