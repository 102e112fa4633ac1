"""Which columns a table of runs has: metrics, then params that vary, then what ``cols=`` asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from runnel.store.run_columns import (
    ColumnUse,
    names_in_experiment,
    uses_of_columns,
    values_of_columns,
)
from runnel.store.statements import Transaction

MAX_METRIC_COLUMNS = 12
MAX_PARAM_COLUMNS = 10
MAX_CHOSEN_COLUMNS = 60
# How many names are offered to choose from at once; the others are searched for.
MAX_OFFERED = 60
MAX_CONSTANTS = 40

ATTRIBUTES = {"duration": "Duration", "user": "User", "source": "Source", "run_id": "Id"}
_SYSTEM = re.compile(r"system/|mlflow\.")


@dataclass(frozen=True)
class RunColumns:
    """The names of the columns of each kind, what else there is to choose, and the values of all that is shown."""

    metrics: Sequence[str]
    params: Sequence[str]
    tags: Sequence[str]
    attributes: Sequence[str]
    offered: Sequence[tuple[str, str]]  # kind and name
    is_all_offered: bool
    constants: Sequence[tuple[str, str]]
    more_constants: int
    values: dict[str, dict[tuple[int, str], float | str]]


def choose_columns(
    tx: Transaction,
    experiment_id: int,
    run_ids: Sequence[int],
    chosen: Sequence[str],
    search: str,
    value_length: int,
) -> RunColumns:
    """The columns for some runs of an experiment; ``chosen`` is as in ``cols=``: metrics.acc, params.lr, user."""
    uses: dict[str, list[ColumnUse]] = {}
    is_all = True
    for kind in ("metrics", "params", "tags"):
        uses[kind], is_complete = uses_of_columns(tx, kind, run_ids)
        is_all &= is_complete
    wanted = _wanted(chosen)
    if not chosen:
        wanted["metrics"] = _first_metrics(uses["metrics"])
        varying = [use for use in uses["params"] if use.varies]
        wanted["params"] = sorted(
            use.key for use in sorted(varying, key=lambda use: -use.run_count)[:MAX_PARAM_COLUMNS]
        )
    offered, is_all_offered = _offered(tx, experiment_id, uses, wanted, search)
    constant = [use.key for use in uses["params"] if not use.varies and use.run_count == len(run_ids)]
    constant = [key for key in constant if key not in wanted["params"]]
    some = constant[:MAX_CONSTANTS] if len(run_ids) > 1 else []
    first = values_of_columns(tx, "params", run_ids[:1], some)
    return RunColumns(
        metrics=wanted["metrics"],
        params=wanted["params"],
        tags=wanted["tags"],
        attributes=wanted["attributes"],
        offered=offered,
        is_all_offered=is_all_offered and is_all,
        constants=[(key, str(value)) for (_, key), value in sorted(first.items(), key=lambda item: item[0][1])],
        more_constants=max(0, len(constant) - MAX_CONSTANTS) if some else 0,
        values={
            kind: values_of_columns(tx, kind, run_ids, wanted[kind], value_length)
            for kind in ("metrics", "params", "tags")
        },
    )


def _wanted(chosen: Sequence[str]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {"metrics": [], "params": [], "tags": [], "attributes": []}
    for name in dict.fromkeys(chosen[:MAX_CHOSEN_COLUMNS]):
        kind, dot, key = name.partition(".")
        if dot and kind in ("metrics", "params", "tags"):
            wanted[kind].append(key)
        elif name in ATTRIBUTES:
            wanted["attributes"].append(name)
    return wanted


def _first_metrics(uses: Sequence[ColumnUse]) -> list[str]:
    """Those that the most runs have; what a machine reports about itself comes last."""
    ranked = sorted(uses, key=lambda use: (_SYSTEM.match(use.key) is not None, -use.run_count, use.key))
    own = [use for use in ranked if not _SYSTEM.match(use.key)]
    return sorted(use.key for use in (own or ranked)[:MAX_METRIC_COLUMNS])


def _offered(
    tx: Transaction, experiment_id: int, uses: dict[str, list[ColumnUse]], wanted: dict[str, list[str]], search: str
) -> tuple[list[tuple[str, str]], bool]:
    """What a person can choose: what is shown already, then the others; with a search, all names that hold its text."""
    shown = [(kind, key) for kind in ("metrics", "params", "tags") for key in wanted[kind]]
    if search:
        text = search.lower()
        found = [
            (kind, key)
            for kind in ("metrics", "params", "tags")
            for key in names_in_experiment(tx, kind, experiment_id)
            if text in key.lower()
        ]
    else:
        found = [
            (kind, use.key)
            for kind in ("metrics", "params", "tags")
            for use in uses[kind]
            if kind != "tags" or not _SYSTEM.match(use.key)
        ]
    others = [each for each in dict.fromkeys(found) if each not in set(shown)]
    return [*shown, *others[:MAX_OFFERED]], len(others) <= MAX_OFFERED
