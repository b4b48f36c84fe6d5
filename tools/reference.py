"""Write `docs/reference/` and `docs/models.md`: kinds, hooks, components, models and templates, from the code alone.

Run by `make generated`; a test checks that the pages are up to date and that no kind or hook is left out.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swift_testing.conformance import LEVELS

from swift_core.catalogue.conformance import recorded
from swift_core.catalogue.entries import Catalogue, Entry, summary_of
from swift_core.cli.listing import help_of
from swift_core.cli.scaffold import EXAMPLES
from swift_core.contract import hooks
from swift_core.contract.capability import describe
from swift_core.contract.components import BASES, Component
from swift_core.contract.kinds import KINDS, Kind
from swift_core.contract.recipes import Recipe
from swift_core.contract.signatures import hook_specs, implementations
from swift_core.data.published import Published
from swift_core.job.options import describe_options
from swift_core.job.specs import JOBS

Cards = list[tuple[Entry, Any]]

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
OWN_PAGES = {"model": "../models.md", "template": "templates.md", "dataset": "datasets.md", "recipe": "recipes.md"}
"""Kinds with so many components that each has a page of its own."""

NO_HOOKS = {
    "command": "none: the entry point is a Typer application",
    "recipe": "none: the entry point is a `swift_core.contract.recipes.Recipe`",
}
NOTE = "<!-- Written by tools/reference.py from the code: change the code, then run `make generated`. -->\n\n"


def pages() -> dict[str, str]:
    """File name → text of every page."""
    entries = [e for e in Catalogue.installed().entries if _is_ours(e)]
    made = {
        "kinds.md": kinds_page(entries),
        "hooks.md": hooks_page(),
        "jobs.md": jobs_page(),
        "components.md": components_page(entries),
        "templates.md": templates_page(entries),
        "datasets.md": datasets_page(entries),
        "recipes.md": recipes_page(entries),
        "../models.md": catalogue_page([(e, e.load()) for e in entries if e.kind == "model"]),
    }
    shown = {name: NOTE + _with_tags(text.rstrip()) + "\n" for name, text in made.items()}
    return shown | {"../scaling.md": scaling_page()}


def _with_tags(text: str) -> str:
    """Markdown in which tags that a text speaks of (`<think>`) are shown, and not taken as HTML; code stays."""
    return re.sub(r"(```.*?```|`[^`\n]+`)|<(?=[A-Za-z/])", lambda m: m[1] or "&lt;", text, flags=re.DOTALL)


# -- methods and strategies -------------------------------------------------------------------------------
def scaling_page() -> str:
    """The page on scaling, with its table of methods and strategies as the tests have recorded it."""
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    begin, end = "<!-- matrix -->\n", "<!-- /matrix -->"
    before, after = text.partition(begin)[0], text.partition(end)[2]
    return before + begin + _strategies() + end + after


def _strategies() -> str:
    recorded = json.loads((ROOT / "tests" / "strategies.json").read_text(encoding="utf-8"))
    found, names = recorded["outcomes"], list(recorded["outcomes"])
    reasons = list(dict.fromkeys(_reason(r) for name in names for r in found[name].values() if r != "equal"))

    def cell(outcome: str) -> str:
        return "**=**" if outcome == "equal" else f"refused ({reasons.index(_reason(outcome)) + 1})"

    rows = [[method, *(cell(found[name][method]) for name in names)] for method in sorted(found["ddp"])]
    notes = "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))
    return f"{_table(['method', *names], rows)}\n{_ran(recorded)}\n\n{notes}\n"


def _ran(recorded: dict[str, Any]) -> str:
    """When and with what the table was made, and in how many processes each column."""
    versions = ", ".join(f"{name} {version}" for name, version in recorded["versions"].items())
    several = {count: [n for n, c in recorded["processes"].items() if c == count] for count in (2, 4)}
    return (
        f"Run on {recorded['date']} with {versions}: {' and '.join(several[4])} in four processes, the others in two."
    )


def _reason(outcome: str) -> str:
    """A refusal without the name of the component that refuses."""
    reason = outcome.partition(" does not support ")[2].partition(": ")[2] or outcome
    return reason[0].upper() + reason[1:]


def _is_ours(entry: Entry) -> bool:
    known = (ROOT / "swift_core" / "catalogue" / "known.tsv").read_text(encoding="utf-8").splitlines()
    return f"{entry.kind}\t{entry.name}\t{entry.package}" in set(known)


# -- kinds ------------------------------------------------------------------------------------------------
def kinds_page(entries: list[Entry]) -> str:
    """The table of kinds, then one section each."""
    sections = "\n".join(_kind_section(k, [e for e in entries if e.kind == k.name]) for k in KINDS.values())
    rows = [[f"[{k.name}](#{k.name})", f"`{k.group}`", k.per_job, k.what] for k in KINDS.values()]
    intro = "Every component is of one kind. A plugin registers it under the kind's entry-point group.\n\n"
    table = _table(["kind", "entry-point group", "per job", "what it does"], rows)
    common = f"What [a component may declare](../declarations.md), of every kind:\n\n{_attribute_table(Component)}"
    return f"# Kinds\n\n{intro}{table}\n{common}\n{sections}"


def _kind_section(kind: Kind, entries: list[Entry]) -> str:
    hooks = ", ".join(f"[`{h}`](hooks.md#{h})" for h in kind.hooks) or NO_HOOKS[kind.name]
    page = OWN_PAGES.get(kind.name, f"components.md#{kind.folder}")
    names = [f"`{e.name}`" for e in entries]
    shown = ", ".join(names[:12]) + (f" and [{len(names) - 12} more]({page})" if len(names) > 12 else "")
    return (
        f"## {kind.name}\n\n{kind.what}\n\n"
        f"- Hooks: {hooks}.\n"
        f"- A new one: `swift new {kind.name} NAME`. Example: {EXAMPLES[kind.name].summary}\n"
        f"- Contract: `swift_testing.{_contract(kind)}`.\n"
        f"- In this repository: {shown or 'none'}.\n"
        f"{_declarations(kind)}"
    )


def _declarations(kind: Kind) -> str:
    """What a component of the kind may declare beside its hooks and what every component may, from its base class."""
    base = BASES.get(kind.name, object)
    if not issubclass(base, Component) or not _attribute_texts(base):
        return ""
    return f"\nMay declare (`{base.__module__}.{base.__name__}`):\n\n{_attribute_table(base)}"


def _attribute_table(base: type) -> str:
    hints = vars(base)["__annotations__"]
    rows = [
        [f"`{n}`", f"`{_short(hints[n])}`", f"`{getattr(base, n)!r}`" if hasattr(base, n) else "", text]
        for n, text in _attribute_texts(base).items()
    ]
    return _table(["attribute", "type", "default", "what it says"], rows)


def _short(hint: str) -> str:
    return hint.removeprefix("ClassVar[").removesuffix("]")


def _attribute_texts(owner: type) -> dict[str, str]:
    """Attribute → the string literal that stands below it in the class."""
    (body,) = (n.body for n in ast.parse(inspect.getsource(owner)).body if isinstance(n, ast.ClassDef))
    pairs = itertools.pairwise(body)
    return {
        a.target.id: ast.literal_eval(b.value)
        for a, b in pairs
        if isinstance(a, ast.AnnAssign) and isinstance(a.target, ast.Name) and isinstance(b, ast.Expr)
    }


def _contract(kind: Kind) -> str:
    from swift_testing.contracts import contract_of

    return contract_of(kind.name).__name__


# -- hooks ------------------------------------------------------------------------------------------------
def hooks_page() -> str:
    """Every hook with its signature, contract and kinds, in the order data flows."""
    intro = inspect.cleandoc(hooks.__doc__ or "").partition("\n\n")[2]
    return f"# Hooks\n\n{intro}\n\n" + "\n".join(_hook_section(name) for name in hook_specs())


def _hook_section(name: str) -> str:
    function = getattr(hooks, name)
    kinds = [f"[{k.name}](kinds.md#{k.name})" for k in KINDS.values() if name in k.hooks]
    first = bool(function.swift_core_spec["firstresult"])
    how = "The first answer that is not None is taken" if first else "Every implementation is called"
    given = inspect.signature(function)
    words = ", ".join(f"{p.name}: {p.annotation}" for p in given.parameters.values())
    signature = f"def {name}({words}) -> {given.return_annotation}: ..."
    return (
        f"## {name}\n\n```python\n{signature}\n```\n\n{inspect.cleandoc(function.__doc__)}\n\n"
        f"{how}. Implemented by: {', '.join(kinds)}.\n"
    )


# -- jobs -------------------------------------------------------------------------------------------------
def jobs_page() -> str:
    """Every job with its own options; those of components are on their page."""
    text = "# Jobs\n\nOptions of the jobs themselves; [components](components.md) add their own.\n"
    shown: dict[type, str] = {}
    for job in JOBS.values():
        owner = job.options_class()
        defaults = ", ".join(f"`{k}` {v!r}" for k, v in job.defaults.items())
        text += f"\n## swift {job.name}\n\n{job.summary}"
        text += f" Defaults of its own: {defaults}.\n" if defaults else "\n"
        if owner in shown:
            text += f"\nIts options are those of [swift {shown[owner]}](#swift-{shown[owner]}).\n"
        else:
            shown[owner] = job.name
            text += "\n" + _options_table(owner)
    return text


# -- components -------------------------------------------------------------------------------------------
def components_page(entries: list[Entry]) -> str:
    """Every component but those with a page of their own, by kind, with its options and limits."""
    pages = " and ".join(f"[{kind}s]({page})" for kind, page in OWN_PAGES.items())
    text = f"# Components\n\nEvery component of this repository, by kind; {pages} have their own pages.\n"
    for kind in KINDS.values():
        if kind.name not in OWN_PAGES:
            text += f"\n## {kind.folder}\n" + "".join(_component(e) for e in entries if e.kind == kind.name)
    return text


def _component(entry: Entry) -> str:
    component = entry.load()
    text = f"\n### {entry.name}\n\n{summary_of(component) if entry.kind != 'command' else help_of(entry)}\n"
    hooks = ", ".join(f"[`{h}`](hooks.md#{h})" for h in KINDS[entry.kind].hooks if h in implementations(component))
    text += f"\nShips in `{entry.package}`." + (f" Hooks: {hooks}.\n" if hooks else "\n")
    for feature, answer in getattr(component, "capabilities", {}).items():
        text += f"\n- {feature}: {describe(answer)}"
    text += "\n" if getattr(component, "capabilities", {}) else ""
    return text + (
        "\n" + _options_table(component) if isinstance(component, type) and describe_options(component) else ""
    )


def templates_page(entries: list[Entry]) -> str:
    """Every template with its deliberate differences from the official form, and what it does not cover."""
    rows, seen = [], set()
    for template in (e.load() for e in entries if e.kind == "template"):
        if template.name not in seen:
            seen.add(template.name)
            names = ", ".join(f"`{n}`" for n in (template.name, *template.aliases))
            rows.append(
                [names, template.summary, f"`{template.agent}`", " ".join(template.differs), " ".join(template.lacks)]
            )
    intro = "How to write one: [chat templates](../templates.md). Names in one row are one template.\n\n"
    heads = ["name", "what it is", "agent format", "differs from the official form", "lacks"]
    return f"# Templates\n\n{intro}" + _table(heads, rows)


def datasets_page(entries: list[Entry]) -> str:
    """The readers, then every published data set: names, ids, subsets, what it holds, and how its columns are known."""
    loaded = [(e, e.load()) for e in entries if e.kind == "dataset"]
    readers = "".join(_component(e) for e, component in loaded if not isinstance(component, Published))
    cards = {card.name: card for _, card in loaded if isinstance(card, Published)}
    heads = ["name", "ModelScope", "Hugging Face", "subsets", "task", "holds", "language", "licence", "rows", "columns"]
    intro = (
        "How to use them, and what the columns mean: [data sets](../datasets.md). "
        f"{len(cards)} published data sets, {sum(len(c.names()) for c in cards.values())} with their subsets.\n\n"
    )
    return f"# Data sets\n\n{intro}{_table(heads, map(_dataset_row, cards.values()))}\n## Readers\n{readers}"


def _dataset_row(card: Published) -> list[str]:
    names = ", ".join(f"`{alias.partition('=')[0]}`" for alias in (card.name, *card.aliases))
    subsets = ", ".join(f"`{name}`" for name in card.names() if name != "default")
    words = (" ".join(card.modality), " ".join(card.language), card.licence, card.size, card.evidence)
    return [names, card.modelscope, card.huggingface, subsets, card.task, *words]


def recipes_page(entries: list[Entry]) -> str:
    """Every recipe: what it is, its job, model and data, and what it is meant for."""
    heads = ["name", "what it is", "job", "task", "model", "data", "hardware", "notes"]
    loaded = [e.load() for e in entries if e.kind == "recipe"]
    intro = f"How to use them, and how to publish your own: [recipes](../recipes.md). {len(loaded)} recipes.\n\n"
    return f"# Recipes\n\n{intro}{_table(heads, map(_recipe_row, loaded))}"


def _recipe_row(recipe: Recipe) -> list[str]:
    said = recipe.options.get("rlhf_type") or recipe.options.get("trainer")
    data = recipe.options.get("dataset") or recipe.options.get("eval_dataset") or []
    job = f"{recipe.job} {said}" if said else recipe.job
    words = (recipe.hardware, recipe.notes)
    return [f"`{recipe.name}`", recipe.summary, job, recipe.task, recipe.model, ", ".join(data), *words]


def catalogue_page(cards: Cards) -> str:
    """Every family with the level it reached: counts, a table to search, and the reasons of those below their aim."""
    results = recorded()
    rows = [_catalogue_row(e, c, results.get(c.name, {})) for e, c in cards]
    heads = ["family", "what it is", "reads", "level", "seen working", "checkpoints"]
    below = [[f"`{e.name}`", reason] for e, c in cards if (reason := _shortfall(c, results.get(c.name, {})))]
    return (
        f"# Models\n\n{_counts(cards, results)}\n{PROOF}\n## Families\n\n{_table(heads, rows)}\n"
        f"## Below the aim\n\n{BELOW}\n\n{_table(['family', 'why'], below)}"
    )


PROOF = """A family is proven level by level, offline, on tiny models of its real class:

| level | what is proven |
| --- | --- |
| card | its facts are valid: ids, modules, templates |
| template | its chat formats write the same as token ids, as Jinja and for Ollama; the answers alone are trained |
| model | loss, LoRA on the language model alone, steps, saving, loading, merging and answering |
| media | pictures, videos or sound go through its real processor, and what they show changes what it says |
| weights | the same with a published checkpoint out of a package: it answers as it should, and is trained and merged |

Beside the levels, two processes train steps in which one of them has a picture, video or sound and the other has none,
under DDP, FSDP2 and ZeRO 3: both end with the losses and weights of one process. One family of each class of
transformers is tried (`make conformance-ranks`), and `swift show model NAME` tells what came of it.

`swift list models --search WORD` searches the same table, `swift show model NAME` lists a family's checkpoints, and
`make conformance` proves them anew. [Add your model today](add-your-model.md) shows how a family joins.
"""

BELOW = """The aim is the level `media` for what sees or hears and `model` for text. Code that comes with a checkpoint
is never downloaded here, so its families stop at `template`."""


def _counts(cards: Cards, results: dict[str, Any]) -> str:
    ids = sum(len(card.listed()) for _, card in cards)
    levels = Counter(results.get(card.name, {}).get("level", "card") for _, card in cards)
    seen = Counter(m for r in results.values() for m, how in r.get("media", {}).items() if how == "passed")
    latest = max(results.values(), key=lambda r: str(r["date"]), default={"date": "never", "versions": {}})
    versions = ", ".join(f"{name} {version}" for name, version in latest["versions"].items())
    by_level = ", ".join(f"{levels[level]} `{level}`" for level in reversed(LEVELS))
    by_media = ", ".join(f"{seen[m]} {word}" for m, word in MEDIA.items())
    return (
        f"{len(cards)} families with {ids} checkpoints. Highest level reached: {by_level}.\n"
        f"Seen working with media: {by_media}. Last checked {latest['date']} with {versions}.\n"
        f"Trained by two processes of which one has a medium: {_ranks(results)}.\n"
    )


def _ranks(results: dict[str, Any]) -> str:
    """Of how many classes each medium was tried in one of two processes, and where that failed."""
    tried = {f"{name} ({medium})": ways for name, r in results.items() for medium, ways in _ways(r)}
    alone = [case for case, ways in tried.items() if "one process" in ways]
    failed = [case for case, ways in tried.items() if case not in alone and set(ways.values()) != {"passed"}]
    names = dict.fromkeys(way for case, ways in tried.items() if case not in alone for way in ways)
    counts = (f"{sum(ways.get(name) == 'passed' for ways in tried.values())} under {name}" for name in names)
    families = len({case.partition(" ")[0] for case in tried})
    return (
        f"{', '.join(counts)}, of {len(tried)} media of {families} classes. Not trained by one process either: "
        f"{', '.join(alone) or 'none'}. Further apart than rounding allows: {', '.join(failed) or 'none'}"
    )


def _ways(result: dict[str, Any]) -> Iterable[tuple[str, dict[str, str]]]:
    found: dict[str, dict[str, str]] = result.get("ranks", {}).get("media", {})
    return found.items()


MEDIA = {"image": "with pictures", "video": "with videos", "audio": "with sound"}


def _catalogue_row(entry: Entry, card: Any, result: dict[str, Any]) -> list[str]:
    seen = ["text"] if result.get("level") in ("model", "media", "weights") else []
    seen += [m for m, how in result.get("media", {}).items() if how == "passed"]
    reads, level = ", ".join(card.modality), result.get("level", "card")
    return [f"`{entry.name}`", card.summary, reads, level, ", ".join(seen), str(len(card.listed()))]


def _shortfall(card: Any, result: dict[str, Any]) -> str:
    """Why a family is below its aim, in one line; empty where it is not."""
    aim = "model" if set(card.modality) == {"text"} else "media"
    return (
        ""
        if result.get("level") in (aim, "weights")
        else str(result.get("reason") or "not checked yet").replace("\n", " ")
    )


def _options_table(owner: type) -> str:
    rows = []
    for o in describe_options(owner):
        names = ", ".join(f"`--{n}`" for n in (o.name, *o.aliases))
        rows.append([names, f"`{o.type}`", "required" if o.required else f"`{o.default!r}`", o.help])
    return _table(["option", "type", "default", "what it does"], rows)


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"{(FOLDER / name).resolve().relative_to(ROOT.resolve())}: {len(text.splitlines())} lines")
