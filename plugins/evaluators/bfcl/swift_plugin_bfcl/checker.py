"""BFCL's checker of calls, run in its own environment on all rows of a category at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from swift_core.evaluation.programs import run_program
from swift_plugin_bfcl.cases import Case

CODE = """import json, sys, types
models = types.ModuleType("bfcl_eval.constants.model_config")  # the real one imports the clients of all vendors
models.MODEL_CONFIG_MAPPING = {"ours": types.SimpleNamespace(underscore_to_dot=False)}
sys.modules[models.__name__] = models
from bfcl_eval.constants.enums import Language
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
task = json.load(open(sys.argv[1], encoding="utf-8"))
found = []
for row in task["rows"]:
    said = ast_checker(row["function"], row["calls"], row["ground_truth"], Language.PYTHON, row["category"], "ours")
    found.append("" if said["valid"] else f"{said.get('error_type', 'wrong')}: {said.get('error', '')}")
json.dump(found, open(task["out"], "w", encoding="utf-8"))
"""


def judge(folder: Path, python: Path, pairs: list[tuple[Case, list[dict[str, Any]]]]) -> list[str]:
    """What is wrong with the calls of each row, in BFCL's words; empty where they are right. folder: for its files."""
    checked = [(case, calls) for case, calls in pairs if case.category not in ("irrelevance", "relevance")]
    faults = iter(_checked(folder, python, checked) if checked else [])
    return [
        next(faults) if case.category not in ("irrelevance", "relevance") else _relevance(case.category, calls)
        for case, calls in pairs
    ]


def _relevance(category: str, calls: list[dict[str, Any]]) -> str:
    """A row of irrelevant functions wants no call, one of relevant functions any."""
    if category == "irrelevance":
        return f"called: {', '.join(name for call in calls for name in call)}" if calls else ""
    return "" if calls else "nothing is called"


def _checked(folder: Path, python: Path, pairs: list[tuple[Case, list[dict[str, Any]]]]) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
    folder.mkdir(parents=True)
    rows = [
        {"function": c.function, "calls": calls, "ground_truth": c.ground_truth, "category": c.category}
        for c, calls in pairs
    ]
    out = folder.resolve() / "faults.json"
    run_program("BFCL's checker", python, CODE, {"rows": rows, "out": str(out)}, folder.resolve(), {})
    found: list[str] = json.loads(out.read_text(encoding="utf-8"))
    return found
