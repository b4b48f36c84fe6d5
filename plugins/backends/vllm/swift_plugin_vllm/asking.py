"""Requests to vLLM's own endpoints: adapters, weights, token ids."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from swift_core import SwiftError

if TYPE_CHECKING:
    from swift_plugin_serving.processes import ServerProcess


def ask(
    address: dict[str, str],
    path: str,
    body: dict[str, Any],
    server: ServerProcess | None = None,
    missing: SwiftError | None = None,
) -> Any:
    """The server's answer, None where it is no JSON object.

    address: its url and key. server: the process, where it is ours. missing: what is raised for an answer of 404.
    Raises SwiftError with what the server said where it refuses, and with the end of its log where it has ended.
    """
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {address['key']}"}
    request = urllib.request.Request(address["url"] + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=3600) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing:
            raise missing from None
        if server is not None and error.code >= 500:
            server.check_after_failure()
        raise SwiftError(f"vLLM refused {path} ({error.code}): {error.read().decode()[:600]}") from None
    except (OSError, http.client.HTTPException) as error:
        if server is not None:
            server.check_after_failure()
        raise SwiftError(f"The vLLM server {address['url']} does not answer: {error}.") from None
    return json.loads(text) if text.startswith("{") else None
