"""What every child needs, imported once before they are forked."""

from __future__ import annotations

import os
import warnings


def load() -> None:
    """Import the heavy libraries, single-threaded and silent."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    let_torchvision_import()
    import peft  # noqa: F401
    import transformers
    from swift_plugin_runtime.batching import collate  # noqa: F401
    from swift_plugin_runtime.training import trainer  # noqa: F401

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def let_torchvision_import() -> None:
    """Let torchvision import where its compiled half does not fit this torch: processors need only the other."""
    import importlib.util

    import torch

    if KEPT or importlib.util.find_spec("torchvision") is None or _torchvision_works():
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)


def _torchvision_works() -> bool:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False)
    return done.returncode == 0


KEPT: list[object] = []
"""A torch library is undone when it is collected."""
