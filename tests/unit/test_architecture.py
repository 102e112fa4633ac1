"""The rules of the layers, checked on the imports of every module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "server"
MIGRATIONS = Path(__file__).parents[2] / "migrations"
MAX_LINES = 400

# What each layer may import of the others; all may import themselves and the package's root (its version).
LAYERS: dict[str, set[str]] = {
    "domain": set(),
    "config": set(),
    "log": set(),
    "access_log": set(),
    "prometheus": set(),
    "store": {"domain"},
    "artifacts": {"domain"},
    "security": {"domain", "api", "store", "config"},
    "api": {"domain", "store", "artifacts", "config"},
    "viewer": {"domain", "store", "artifacts", "config", "api"},
}
# Who may import a library; None: whoever is not in a stricter layer.
HOMES: dict[str, tuple[str, ...]] = {
    "sqlalchemy": ("store",),
    "alembic": ("store",),
    "psycopg": ("store",),
    "sqlite3": ("store",),
    "boto3": ("artifacts/s3.py",),
    "botocore": ("artifacts/s3.py",),
    "starlette": ("app.py", "api", "viewer", "security.py"),
}


def modules() -> list[Path]:
    return sorted((SOURCE / "runnel").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE / "runnel").as_posix()


def imports(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, at its top or anywhere in it."""
    package = ".".join(path.relative_to(SOURCE).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import in {package}"
            assert node.module is not None
            # "from runnel.api import runs" imports the module runnel.api.runs.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str:
    """The part of the package a module belongs to: a folder, or a file beside them; "" for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_follow_the_layers(path: Path) -> None:
    layer = name_of(path).split("/")[0].removesuffix(".py")
    allowed = LAYERS.get(layer)
    if allowed is None:
        return  # what puts the parts together: app, cli and its commands, serve
    used = {layer_of(module) for module in imports(path) if module.split(".")[0] == "runnel"}
    foreign = {name for name in used if (SOURCE / "runnel" / name).is_dir() or name in names_of_files()}
    assert foreign <= allowed | {layer}


def names_of_files() -> set[str]:
    return {path.stem for path in (SOURCE / "runnel").glob("*.py")}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    name = name_of(path)
    for module in imports(path):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert any(name == home or name.startswith(f"{home}/") for home in homes), f"{name} imports {module}"


def test_the_domain_imports_the_standard_library_only() -> None:
    for path in (SOURCE / "runnel" / "domain").glob("*.py"):
        outside = {m for m in imports(path) if m.split(".")[0] not in sys.stdlib_module_names and not m.startswith("runnel.domain")}
        assert not outside, f"{path.name} imports {outside}"


def test_nobody_imports_what_puts_the_parts_together() -> None:
    for path in modules():
        name = name_of(path)
        if name not in ("app.py", "cli.py", "serve.py", "__main__.py"):
            assert not {m for m in imports(path) if m.startswith(("runnel.app", "runnel.cli", "runnel.serve"))}, name


@pytest.mark.parametrize("path", [*modules(), *sorted(MIGRATIONS.rglob("*.py"))], ids=lambda path: path.name)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not {path.stem for path in modules()} & {"utils", "helpers", "common", "manager", "misc"}
