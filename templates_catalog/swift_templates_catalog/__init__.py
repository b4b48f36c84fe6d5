"""Chat templates as data: `swift_templates_catalog.NAME` is the template of NAME.toml."""

from __future__ import annotations

from importlib import resources

from swift_core.templates import Template, read_template


def __getattr__(name: str) -> Template:
    file = resources.files(__name__).joinpath("templates", f"{name}.toml")
    if name.startswith("_") or not file.is_file():
        raise AttributeError(f"the catalogue has no template {name!r}")
    template = read_template(file.read_text(encoding="utf-8"), name)
    globals()[name] = template  # read once
    return template
