"""Python runs this when it starts: the shim, in the processes that torchrun starts."""

import os

if "LOCAL_RANK" in os.environ:
    import shim  # noqa: F401
