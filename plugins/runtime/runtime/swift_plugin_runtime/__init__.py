"""The transformers runtime that other plugins may build on. Modules import torch; this one does not."""

import logging

from swift_core.moved import install
from swift_plugin_runtime.loading.unloaded import UNLOADED, stand_in
from swift_plugin_runtime.moved import MOVED

RUNTIME_API = 1
"""The version of what plugins build on here. A component that inherits from the runtime's classes declares the one
that it was written for as `runtime_api`. It is raised by a change that breaks plugins."""

install(MOVED)
stand_in(UNLOADED)  # here, since it has to be before the first model class is imported
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # PEFT imports it; on CPUs with AVX512-BF16
# it warns that a kernel for repacked 4-bit weights is missing, and `keep_trainable_layout` lets none be repacked
