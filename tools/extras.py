"""Write the extra `all` of swift-core: every distribution of this repository, for `pip install "swift-core[all]"`.

Names alone: each plugin says which swift-core it needs. Run by `make generated`; a test checks that it is up to date.
"""

from __future__ import annotations

import re
import tomllib

from wheels import ROOT, distributions

FILE = ROOT / "pyproject.toml"
TABLE = re.compile(r"^all = \[.*?^\]\n", re.MULTILINE | re.DOTALL)


def names() -> list[str]:
    """Every distribution but the kernel, by name."""
    files = [folder / "pyproject.toml" for folder in distributions() if folder != ROOT]
    return sorted(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"] for file in files)


def text() -> str:
    """pyproject.toml with the extra written anew."""
    table = "all = [\n" + "".join(f'    "{name}",\n' for name in names()) + "]\n"
    before = FILE.read_text(encoding="utf-8")
    if TABLE.search(before):
        return TABLE.sub(lambda _: table, before)
    return before.replace("[project.optional-dependencies]\n", f"[project.optional-dependencies]\n{table}")


if __name__ == "__main__":
    made = text()
    if made != FILE.read_text(encoding="utf-8"):  # a newer file makes `make` install everything anew
        FILE.write_text(made, encoding="utf-8")
    print(f"{FILE.name}: {len(names())} distributions in the extra `all`")
