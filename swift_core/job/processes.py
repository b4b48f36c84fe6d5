"""Several processes as environment variables ask for them, as ms-swift and cluster schedulers do."""

from __future__ import annotations

import os
from collections.abc import Iterable

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given, fields_of, match_field
from swift_core.job.specs import JobSpec

_OPTIONS = ("nproc_per_node", "nnodes", "node_rank", "master_addr", "master_port")
_ELASTIC = ("max_restarts", "rdzv_backend", "rdzv_endpoint", "rdzv_id")

VARIABLES = {
    **{name.upper(): name for name in _OPTIONS},
    **{f"PET_{name.upper()}": name for name in (*_OPTIONS, *_ELASTIC)},
}
"""Environment variable → the launcher's option: ms-swift's names, and torchrun's own, which win."""

NO_VALUE = ("", "auto", "gpu")
"""Values that say nothing: torchrun, and Kubeflow's runtime for it, write one process per GPU so."""

STARTING = tuple(name for name, option in VARIABLES.items() if option in ("nproc_per_node", "nnodes"))
"""Variables of which one asks for several processes; the others say where these meet."""


def asked_by_environment(spec: JobSpec, given: Iterable[Given], catalogue: Catalogue) -> list[Given]:
    """The launcher and its options as the environment says them, without those that the user said.

    Nothing where the job starts no processes, is one of them already, or has a --launcher. Raises SwiftError where no
    installed launcher has these options.
    """
    owner, said = spec.options_class(), list(given)
    asking = [name for name in STARTING if os.environ.get(name)]
    started = "LOCAL_RANK" in os.environ
    if not asking or started or "launcher" not in fields_of(owner) or any(_is(owner, g, "launcher") for g in said):
        return []
    keys = {g.key.rpartition(".")[2] for g in said}
    options = {
        key: Given(key, os.environ[name], f"variable {name}")
        for name, key in VARIABLES.items()
        if os.environ.get(name, "") not in NO_VALUE and key not in keys
    }
    return [Given("launcher", _launcher(catalogue, asking[0]), f"variable {asking[0]}"), *options.values()]


def _launcher(catalogue: Catalogue, variable: str) -> str:
    """The installed launcher whose options the variables are."""
    for entry in catalogue.of_kind("launcher"):
        if set(_OPTIONS) <= set(fields_of(entry.load())):
            return entry.name
    raise SwiftError(
        f"The variable {variable} asks for several processes, and no installed launcher has --nproc_per_node: install "
        "one, or unset the variable (swift list launchers)."
    )


def _is(owner: type, given: Given, name: str) -> bool:
    return match_field(owner, given.key) == name


def explained(asked: Iterable[Given]) -> str:
    """One line that says what the environment asked for."""
    words = " ".join(f"--{g.key} {g.value}" for g in asked)
    return f"The environment asks for several processes: {words}. (--launcher none: one process.)"
