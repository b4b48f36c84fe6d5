"""Chat templates: one declaration, from which token ids with labels, Jinja and Ollama's form come."""

from swift_core.templates.declaration import Template, Thinking, read_template

__all__ = ["Template", "Thinking", "read_template"]
