"""A postponed package is loaded by its first use, however that comes about, and is then like any other."""

from __future__ import annotations

import subprocess
import sys

import pytest

USES = {
    "an attribute": "import datasets; datasets.Dataset.from_list([{'a': 1}])",
    "a name": "from datasets import Dataset; Dataset.from_list([{'a': 1}])",
    "a part": "from datasets.features import Value; Value('int64')",
    "a part of a part": "import datasets.utils.logging as l; l.get_verbosity()",
}
BEGIN = """
import sys
from swift_plugin_runtime.training.postponed import Postponed, postpone
postpone("datasets")
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("use", USES)
def test_the_first_use_loads_it(use):
    code = f"{USES[use]}\nimport datasets\nprint(type(datasets).__name__, bool(datasets.__version__))"
    assert run(code) == "module True\n"


def test_training_does_without_it():
    """What is imported for a training job, and a walk through all modules, load nothing of it."""
    code = """
import inspect, importlib.util
import transformers, peft, swift_plugin_runtime.training.trainer
transformers.Trainer, importlib.util.find_spec("datasets"), inspect.getmodule(run := lambda: 0)
print(type(sys.modules["datasets"]).__name__, "pandas" in sys.modules)
postpone("datasets"), postpone("no_such_package")
"""
    assert run(code) == "Postponed False\n"
