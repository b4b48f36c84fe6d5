"""Downloads from ModelScope and Hugging Face, with one clear error where the network or the id fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from swift_core import SwiftError

SAFE_PATTERNS = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model", "*.tiktoken", "*.py"]
"""Files of a checkpoint that are fetched; pickled weights come only when the user insists."""

PICKLE_PATTERNS = ["*.bin", "*.pt", "*.pth"]


def download(model: str, revision: str | None, use_hf: bool, allow_pickle: bool, skipped: tuple[str, ...] = ()) -> str:
    """The local folder of a hub model, fetched if it is not in the hub's own cache.

    model: `owner/name`, or `owner/name:folder` for a folder of the repository. skipped: patterns of files
    that stay where they are. Raises SwiftError where the hub does not give it.
    """
    patterns = SAFE_PATTERNS + (PICKLE_PATTERNS if allow_pickle else [])
    model, _, inner = model.partition(":")
    fetch = _huggingface if use_hf else _modelscope
    hub = "Hugging Face" if use_hf else "ModelScope"
    try:
        return str(Path(fetch(model, revision, patterns, list(skipped)), inner))
    except Exception as error:  # each hub client has a zoo of its own
        cause = str(error).strip().split("\n")[0]
        raise SwiftError(
            f"The model {model!r} could not be fetched from {hub}: {type(error).__name__}: {cause}. "
            f"Check the id and the network, try --use_hf {str(not use_hf).lower()}, or give a local folder."
        ) from error


def _huggingface(model: str, revision: str | None, patterns: list[str], skipped: list[str]) -> str:
    from huggingface_hub import snapshot_download

    return str(snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=skipped))


def _modelscope(model: str, revision: str | None, patterns: list[str], skipped: list[str]) -> str:
    from modelscope import snapshot_download

    return str(snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=skipped))


def copy_extra_files(names: tuple[str, ...], source: Any, folder: str) -> None:
    """Copy a card's `extra_files` from a local checkpoint beside newly saved weights."""
    for name in names:
        file = Path(str(source), name)
        if file.is_file():
            shutil.copy2(file, Path(folder, name))


def upload(folder: str, name: str, use_hf: bool, token: str | None, private: bool) -> str:
    """Put the files of `folder` into the hub's repository `name`, made where there is none; returns its address.

    SwiftError where the hub cannot be reached or refuses; the folder stays as it is.
    """
    hub = "Hugging Face" if use_hf else "ModelScope"
    skipped = ["optimizer.pt", "scheduler.pt", "rng_state*", "scaler.pt"]
    try:
        return (_to_huggingface if use_hf else _to_modelscope)(folder, name, token, private, skipped)
    except Exception as error:  # each hub client has a zoo of its own
        cause = (str(error).strip().splitlines() or [""])[0]
        raise SwiftError(
            f"{folder} could not be uploaded to {name} on {hub}: {type(error).__name__}: {cause}. The folder is "
            "whole; check the network and --hub_token, and upload it by hand or with "
            f"swift export --ckpt_dir {folder} --push_to_hub true --hub_model_id {name}."
        ) from error


def _to_huggingface(folder: str, name: str, token: str | None, private: bool, skipped: list[str]) -> str:
    import os

    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    api.create_repo(name, private=private, exist_ok=True)
    api.upload_folder(repo_id=name, folder_path=folder, ignore_patterns=skipped)
    return f"{api.endpoint}/{name}"


def _to_modelscope(folder: str, name: str, token: str | None, private: bool, skipped: list[str]) -> str:
    import os

    from modelscope.hub.api import HubApi

    # The client keeps the address of its first use in a process unless it is told one.
    api = HubApi(os.environ.get("MODELSCOPE_ENDPOINT"), token=token or os.environ.get("MODELSCOPE_API_TOKEN"))
    api.create_repo(name, visibility="private" if private else "public", exist_ok=True)
    api.upload_folder(name, folder, ignore_patterns=skipped)
    return f"{api.endpoint}/models/{name}"
