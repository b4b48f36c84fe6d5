"""Any method of PEFT (github.com/huggingface/peft), named by its type: those without a plugin, and those to come."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import PeftTuner

from swift_core import SwiftError, option
from swift_core.contract.errors import did_you_mean
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Peft(PeftTuner):
    """Any tuner of PEFT by its type (SHIRA, ROAD, C3A …) and a JSON object of its settings."""

    peft_type: str = option(help="PEFT's name of the method, for instance SHIRA or RANDLORA.")
    peft_args: dict[str, Any] = option({}, "JSON of the fields of its PeftConfig, as PEFT's documentation names them.")

    def peft_config(self, job: Job, model: Any) -> Any:
        """The config that --peft_type and --peft_args say. Raises SwiftError where PEFT does not know one of them."""
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as known

        kinds = {kind.value.lower(): config for kind, config in known.items()}
        name = self.peft_type.lower()
        if name not in kinds:
            raise SwiftError(f"PEFT has no {self.peft_type!r}.{did_you_mean(name, kinds)} It has: {', '.join(kinds)}.")
        fields = {f.name for f in dataclasses.fields(kinds[name])}
        wrong = [key for key in self.peft_args if key not in fields]
        if wrong:
            raise SwiftError(f"--peft_args: {name} has no setting {wrong[0]!r}.{did_you_mean(wrong[0], fields)}")
        wanted = {"task_type": "CAUSAL_LM", **self.peft_args}
        if "target_modules" in fields:
            named = wanted.get("target_modules") or "all-linear"
            named = [named] if isinstance(named, str) else list(named)
            wanted["target_modules"] = adapters.linear_targets(job, model, named)
        return kinds[name](**wanted)
