"""Writes the tables of README.md that follow from the code: flags, endpoints, and what is missing. `make docs` runs it.

Each table stands between two lines, `<!-- NAME -->` and `<!-- end of NAME -->`; the rest of the file is left alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

import click

from runnel.api.routes import ROUTES
from runnel.api.routing import Endpoint
from runnel.cli import server

README = Path(__file__).resolve().parents[1] / "README.md"

# The groups of endpoints are named after their modules, but for these.
TITLES = {
    "openapi": "The server",
    "server_info": "The server",
    "datasets": "Datasets that runs used",
    "registered_models": "Registered models and prompts",
    "model_versions": "Versions of registered models and of prompts",
    "presigned_artifacts": "Artifacts that clients reach without the server",
}

# Parts of MLflow's API, each with a path below which its endpoints begin: listed as missing until a route does.
PARTS = {
    "/2.0/mlflow/runs/": "runs, params, metrics and tags",
    "/2.0/mlflow/logged-models": "logged models",
    "/2.0/mlflow-artifacts/": "artifacts through the server",
    "/3.0/mlflow/traces/search": "searching traces",
    "/3.0/mlflow/traces/delete-traces": "deleting traces",
    "/3.0/mlflow/traces/metrics": "statistics of traces",
    "/2.0/mlflow/traces/link-prompts": "links between traces and prompts",
    "/2.0/mlflow/registered-models/": "the model registry, and the prompts that MLflow keeps in it",
    "/3.0/mlflow/datasets": "evaluation datasets (`mlflow.genai.datasets`)",
    "/3.0/mlflow/scorers": "registered scorers",
    "/3.0/mlflow/label-schemas": "label schemas and review queues",
    "/3.0/mlflow/issues": "issues",
    "/3.0/mlflow/prompt-optimization": "prompt optimization jobs",
    "/3.0/mlflow/gateway": "the AI gateway",
    "/2.0/mlflow/webhooks": "webhooks",
    "/3.0/mlflow/workspaces": "workspaces",
}


def flags_table() -> str:
    """Every flag of `runnel server`: its variables, its default, what it means."""
    rows = []
    for option in server.params:
        assert isinstance(option, click.Option)
        if option.hidden:
            continue
        meaning, _, said_default = (option.help or "").partition(" Default: ")
        flag = option.opts[0] + (f", {option.secondary_opts[0]}" if option.secondary_opts else "")
        variables = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
        default = said_default.rstrip(".") or _shown_default(option)
        rows.append([f"`{flag}`", " ".join(f"`{variable}`" for variable in variables), default, meaning])
    return _table(["Flag", "Variable", "Default", "Meaning"], rows)


def _shown_default(option: click.Option) -> str:
    if option.is_flag:
        return "on" if option.default is True else "off"
    return f"`{option.default}`" if isinstance(option.default, str | int) and option.default != "" else ""


def endpoints_table() -> str:
    """Every endpoint, in groups that are those of the modules of `runnel.api`."""
    groups: dict[str, list[list[str]]] = {}
    for endpoint in ROUTES:
        module = endpoint.function.__module__.rsplit(".", 1)[-1]
        title = TITLES.get(module, module.replace("_", " ").capitalize())
        row = [f"`{endpoint.method} {_path(endpoint)}`", _first_sentence(endpoint)]
        groups.setdefault(title, []).append(row)
    rows = [row for title, group in groups.items() for row in [[f"**{title}**", ""], *group]]
    return _table(["Endpoint", "What it does"], rows)


def _path(endpoint: Endpoint) -> str:
    return endpoint.public_paths[0].replace(":path}", "}")


def _first_sentence(endpoint: Endpoint) -> str:
    documentation = inspect.getdoc(endpoint.function) or ""
    return " ".join(documentation.split("\n\n")[0].split())


def missing_list() -> str:
    """The parts of MLflow's API that no route begins with."""
    paths = [endpoint.path for endpoint in ROUTES]
    missing = [name for start, name in PARTS.items() if not any(path.startswith(start) for path in paths)]
    return "\n".join(f"- {name}" for name in missing) or "Nothing."


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


GENERATED = {"flags": flags_table, "endpoints": endpoints_table, "missing": missing_list}


def with_tables(text: str) -> str:
    """The text with every table as it should be now. ValueError where a pair of markers is not there."""
    for name, make in GENERATED.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, found_start, rest = text.partition(start)
        _, found_end, after = rest.partition(end)
        if not found_start or not found_end:
            raise ValueError(f"README.md has no pair of lines '<!-- {name} -->' and '<!-- end of {name} -->'")
        text = f"{before}{start}\n{make()}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
