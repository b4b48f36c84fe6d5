"""vLLM's `/v1/load_lora_adapter` and `/v1/unload_lora_adapter`: adapters that come and go while the server runs.

Only folders below `--lora_dir` are read, and only for those who have a key.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from pydantic import Field
from starlette.exceptions import HTTPException

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import AdapterEngine, InUse
from swift_core.contract.errors import SwiftError
from swift_plugin_serving.errors import BadField, UnknownModel
from swift_plugin_serving.openai_api import AnyBody
from swift_plugin_serving.service import Service
from swift_plugin_serving.settings import Settings

FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What a folder of an adapter has."""


class LoadBody(AnyBody):
    """The body of POST /v1/load_lora_adapter. lora_path: absolute, or below `--lora_dir`."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)
    load_inplace: bool | None = None


class UnloadBody(AnyBody):
    """The body of POST /v1/unload_lora_adapter. lora_int_id changes nothing: adapters are known by their names."""

    lora_name: str = Field(min_length=1)
    lora_int_id: int | None = None


async def load(body: LoadBody, service: Service, settings: Settings) -> str:
    """What to tell the client. Raises SwiftError, or a refusal with a status of its own, where nothing is loaded."""
    engine, folder = _engine(service, settings), _folder(body.lora_path, settings)
    if body.load_inplace:
        raise BadField("load_inplace", "load_inplace=true is not supported by this server; unload the adapter first.")
    await asyncio.get_running_loop().run_in_executor(None, engine.load_adapter, body.lora_name, str(folder))
    return f"Success: LoRA adapter '{body.lora_name}' added successfully."


async def unload(body: UnloadBody, service: Service, settings: Settings) -> str:
    """What to tell the client. Raises UnknownModel, a refusal with 409 while the adapter answers, or SwiftError."""
    engine = _engine(service, settings)
    if body.lora_name not in service.engine.models[1:]:
        raise UnknownModel(404, f"The adapter {body.lora_name[:200]!r} does not exist.")
    try:
        await asyncio.get_running_loop().run_in_executor(None, engine.unload_adapter, body.lora_name)
    except InUse as error:
        raise HTTPException(409, str(error)) from None
    return f"Success: LoRA adapter '{body.lora_name}' removed successfully."


def _engine(service: Service, settings: Settings) -> AdapterEngine:
    if not settings.lora_dir or not settings.api_keys:
        text = "This server loads no adapters while it runs: it needs --lora_dir, and a key (--api_key)."
        raise HTTPException(403, text)
    if not declared(service.engine, EngineTraits, "changes_adapters"):
        raise SwiftError("This server's engine loads no adapters while it runs.")
    return cast("AdapterEngine", service.engine)


def _folder(path: str, settings: Settings) -> Path:
    """The folder of an adapter below `--lora_dir`, links followed. All that is none gets one sentence."""
    root = Path(settings.lora_dir or "").resolve()
    try:
        folder = (root / path).resolve()
        found = folder.is_relative_to(root) and all((folder / file).is_file() for file in FILES)
        found = found and all((folder / file).resolve().is_relative_to(root) for file in FILES)
    except (OSError, ValueError):
        found = False
    if not found:
        raise BadField("lora_path", f"lora_path: there is no adapter {path[:200]!r} below --lora_dir.")
    return folder
