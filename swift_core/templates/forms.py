"""The same template as a Jinja chat template and in Ollama's Go form.

Both write what `spans_of` writes as prompt: thoughts of earlier answers stand where the template keeps them.
"""

from __future__ import annotations

from swift_core.templates.jinja import jinja
from swift_core.templates.ollama import ollama

__all__ = ["jinja", "ollama"]
