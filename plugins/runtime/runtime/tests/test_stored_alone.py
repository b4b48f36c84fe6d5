"""Stored rows need nothing that only other packages load."""

import subprocess
import sys

CODE = """
import sys
from swift_plugin_runtime.encoding import arrow_cache
rows = arrow_cache.write([arrow_cache.batch_of([{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}])], {}, None)
print(rows.lengths(), rows[0]["labels"], "datasets" in sys.modules)
"""


def test_lengths_are_known_without_datasets():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "[3] [-100, 2, 3] False\n", done.stderr[-2000:]
