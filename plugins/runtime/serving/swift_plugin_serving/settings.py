"""What a server is told: keys, limits, where media may come from, how long it goes on when it is to stop."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract.engine import Sampling
from swift_core.contract.errors import SwiftError

KEY_VARIABLE = "SWIFT_API_KEY"
"""Environment variable with keys, one or several between commas."""

MEGABYTE = 2**20


@dataclass(frozen=True)
class Settings:
    """How a server behaves.

    api_keys: what clients may send; empty: anybody may ask. defaults: fields of a request that a client leaves out.
    allowed_origins: web pages that may ask, `*`: any. max_body_mb: of a request. max_inputs: answers, texts or
    documents that one request may ask for. request_seconds: how long a request may take to arrive. Of media:
    allowed_media_domains: hosts whose addresses are fetched, `*`: any public one. max_media_mb, max_image_pixels and
    media_seconds: of each. grace_seconds: how long answers under way go on once the server is told to stop.
    ssl_certfile, ssl_keyfile: PEM files of HTTPS. lora_dir: below it adapters may be loaded while the server runs.
    """

    api_keys: tuple[str, ...] = ()
    max_batch_size: int = 8
    defaults: Sampling = Sampling()
    allowed_origins: tuple[str, ...] = ()
    max_body_mb: float = 32
    max_inputs: int = 2048
    request_seconds: float = 30
    allowed_media_domains: tuple[str, ...] = ()
    max_media_mb: float = 32
    max_image_pixels: int = 2**25
    media_seconds: float = 10
    grace_seconds: float = 5
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    lora_dir: str | None = None

    @classmethod
    def of(cls, api_key: str | None = None, **told: Any) -> Settings:
        """Settings from parts, of which those that are None are left out. api_key: a further key."""
        keys = (*told.pop("api_keys", ()), *([api_key] if api_key else []))
        return cls(api_keys=keys, **{name: value for name, value in told.items() if value is not None})


def check_folder(folder: str | None) -> None:
    """SwiftError where `--lora_dir` is no folder."""
    if folder is not None and not Path(folder).is_dir():
        raise SwiftError(f"--lora_dir {folder!r} is no folder.")


def check_certificate(certificate: str | None, key: str | None) -> None:
    """SwiftError where the files of HTTPS cannot be used."""
    if not certificate:
        if key:
            raise SwiftError("--ssl_keyfile belongs to a certificate: say --ssl_certfile, too.")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SwiftError(f"--ssl_certfile {certificate!r} and --ssl_keyfile {key!r} cannot be used: {error}.") from None


def keys_of(given: str | None, file: str | None) -> tuple[str, ...]:
    """All keys: the one given, those in a file (one a line), and those in `SWIFT_API_KEY` (between commas).

    Raises SwiftError where the file cannot be read or holds no key.
    """
    keys = [given] if given else []
    keys += [key.strip() for key in os.environ.get(KEY_VARIABLE, "").split(",") if key.strip()]
    return tuple(dict.fromkeys([*keys, *(_keys_in(file) if file else [])]))


def _keys_in(file: str) -> list[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SwiftError(f"--api_key_file {file!r} cannot be read: {error}.") from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise SwiftError(f"--api_key_file {file!r} holds no key; write one a line.")
    return keys
