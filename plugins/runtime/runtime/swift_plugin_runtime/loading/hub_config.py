"""The config.json of a checkpoint on a hub, fetched alone: it says the family where no card lists the id."""

from __future__ import annotations

import re
from pathlib import Path

from swift_core.contract.errors import SwiftError

ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(:[\w./-]+)?")
"""`owner/name`, with `:folder` for a folder of the repository; Hugging Face has ids without an owner (`gpt2`)."""


def fetch_config(model: str, revision: str | None, use_hf: bool) -> Path | None:
    """The folder of the hub's cache that holds the checkpoint's config.json; None where `model` is no id of that hub.

    SwiftError where the hub cannot be reached, has no such checkpoint, or its client is not installed.
    """
    if not ID.fullmatch(model) or ("/" not in model and not use_hf):
        return None
    name, _, inner = model.partition(":")
    file = f"{inner}/config.json" if inner else "config.json"
    hub = "Hugging Face" if use_hf else "ModelScope"
    try:
        return Path((_huggingface if use_hf else _modelscope)(name, file, revision)).parent
    except ImportError as error:
        raise SwiftError(
            f"No installed family lists {model!r}, and {hub} cannot be asked: {error}. Its client comes with the "
            "runtime: pip install swift-plugin-runtime"
        ) from None
    except Exception as error:  # each hub client has a zoo of its own
        cause = (str(error).strip().splitlines() or [""])[0]
        raise SwiftError(
            f"No installed family lists {model!r}, and its config.json could not be fetched from {hub}: "
            f"{type(error).__name__}: {cause} Check the id and the network, try --use_hf {str(not use_hf).lower()}, or "
            "give a local folder."
        ) from None


def _huggingface(name: str, file: str, revision: str | None) -> str:
    import os

    from huggingface_hub import hf_hub_download

    return str(hf_hub_download(name, file, revision=revision, endpoint=os.environ.get("HF_ENDPOINT")))


def _modelscope(name: str, file: str, revision: str | None) -> str:
    from modelscope import model_file_download

    return str(model_file_download(name, file, revision=revision))
