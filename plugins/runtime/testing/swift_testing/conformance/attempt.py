"""Trying a check, and the reason why it fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError


class Failed(Exception):
    """A check of the conformance levels that did not hold; the text says which and how."""


def attempt(check: Callable[[], Any]) -> str:
    """Why a check failed; empty where it passed."""
    try:
        check()
    except (Failed, SwiftError) as error:
        return str(error)
    except ImportError as error:
        return " ".join(str(error).split()).partition(" Check out")[0].partition(" You can install")[0]
    except Exception as error:  # any class may fail in any way: the reason is the result
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})"
    return ""
