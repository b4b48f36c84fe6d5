"""The packages of editable plugins are found in one folder, and are gone from it when they are gone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tools_of import tool


def test_one_folder_stands_for_all(tmp_path: Path) -> None:
    root, site = tmp_path / "root", tmp_path / "site"
    site.mkdir()
    for name in ("one", "two"):
        package = root / "plugins" / name / f"swift_plugin_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"name = {name!r}")
        (site / f"swift_plugin_{name}.pth").write_text(f"{package.parent}\n")
        note = {"url": package.parent.as_uri(), "dir_info": {"editable": True}}
        (site / f"swift_plugin_{name}-1.0.dist-info").mkdir()
        (site / f"swift_plugin_{name}-1.0.dist-info" / "direct_url.json").write_text(json.dumps(note))
    (site / "swift_core.pth").write_text(f"{root}\n")
    (site / "another.pth").write_text("import sys; sys.told = True\n")

    assert tool("editable").gather(site, root) == 2
    assert {f.name for f in site.glob("*.pth")} == {"swift_core.pth", "another.pth", "editable_plugins.pth"}
    code = f"import site, sys; site.addsitedir({str(site)!r})\nimport swift_plugin_one, swift_plugin_two\n"
    code += "print(swift_plugin_two.name, sys.told)"
    said = subprocess.run([sys.executable, "-ISc", code], capture_output=True, text=True, check=True).stdout
    assert said == "two True\n"

    shutil.rmtree(root / "plugins" / "two")
    assert tool("editable").gather(site, root) == 1
