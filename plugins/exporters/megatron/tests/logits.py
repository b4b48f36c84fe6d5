"""Logits of checkpoints in Megatron-Core: `torchrun logits.py WORK.json`, in its environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import shim  # noqa: F401
import torch

work = json.loads(Path(sys.argv[1]).read_text())
sys.path.insert(0, work["engine"])

import building  # noqa: E402

building.start(work["sizes"], 0)
ids = torch.tensor(work["ids"])
found = {}
for family, folder in work["models"].items():
    model = building.build(Path(folder), work["sizes"], gathered=True)
    building.load(model, Path(folder))
    positions = torch.arange(ids.shape[1])[None].expand_as(ids)
    with torch.no_grad():
        found[family] = model.eval()(ids, positions, building.causal_mask(ids.shape[1], ids.device))
if torch.distributed.get_rank() == 0:
    torch.save(found, work["out"])
torch.distributed.barrier()
torch.distributed.destroy_process_group()
