"""The transformers runtime that other plugins may build on. Modules import torch; this one does not."""

from swift_core.moved import install
from swift_plugin_runtime.moved import MOVED

install(MOVED)
