"""Bottleneck adapters behind attention and MLP of every block (Houlsby et al., arXiv 1902.00751)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import width_of
from swift_plugin_runtime.tuning.adapter_modules import AddedTuner, hosts, sublayers

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Adapter(AddedTuner):
    """A bottleneck with a shortcut behind attention and MLP of every block (arXiv 1902.00751)."""

    tag = "adapter"

    adapter_size: int = option(64, "m: width of the bottleneck.", ge=1, aliases=("adapter_length",), symbol="m")
    adapter_modules: str | None = option(None, "Regex of the modules; left out: attention and MLP of every block.")

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        from swift_plugin_adapter.modules import Bottleneck

        modules = hosts(job, model, self.adapter_modules, sublayers)
        return {path: Bottleneck(width_of(model, host), self.adapter_size, host) for path, host in modules.items()}
