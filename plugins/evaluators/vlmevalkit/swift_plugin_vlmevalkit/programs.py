"""What runs in VLMEvalKit's environment, where nothing of ours is installed."""

from __future__ import annotations

from swift_plugin_serving.cpu_torchvision import AT_IMPORT

RUN = (
    AT_IMPORT
    + """
import glob, json, os, sys
from vlmeval.api.gpt import CustomAPIModel
from vlmeval.config import supported_VLM
from vlmeval.smp import load

class Served(CustomAPIModel):
    def __init__(self, model, **told):
        super().__init__(model="served", key="EMPTY", **told)
        self.model, self.key = os.environ["SWIFT_EVAL_MODEL"], os.environ["SWIFT_EVAL_KEY"]

supported_VLM["CustomAPIModel"] = Served
from evalscope.run import run_task
task = json.load(open(sys.argv[1], encoding="utf-8"))
run_task(task)

(name,) = task["eval_config"]["data"]
base = os.path.join(task["work_dir"], "served", "served_" + name)
found = {"rows": 0, "failed": 0, "scores": {}}
for file in sorted(glob.glob(glob.escape(base) + "*.*")):
    stem, extension = os.path.splitext(file)
    rest = stem[len(base):]
    if rest == "" and extension in (".xlsx", ".tsv", ".json"):
        said = [str(answer) for answer in load(file)["prediction"]]
        found["rows"], found["failed"] = len(said), sum("Failed to obtain answer" in answer for answer in said)
    elif rest.rpartition("_")[2] in ("acc", "score", "rating") and extension in (".csv", ".json", ".xlsx"):
        scores = load(file)
        found["scores"][rest.lstrip("_")] = scores if isinstance(scores, dict) else scores.to_dict("records")
with open("found.json", "w", encoding="utf-8") as stream:
    json.dump(found, stream, default=str)
"""
)
"""VLMEvalKit's client of OpenAI endpoints takes some words in a model's name for another provider's, asks there, and
logs the key. So it is made with neither, and gets both afterwards. VLMEvalKit goes on where a data set fails."""
