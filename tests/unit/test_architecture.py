"""The rules of the layers, checked on the imports of every module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "server" / "runnel"
MAX_LINES = 400

# What the parts of the package (folders, and files beside them) may import of each other. Those that are not listed
# put the others together: app, the command line, and what runs the application.
LAYERS: dict[str, set[str]] = {
    "domain": set(),
    "store": {"domain"},
    "artifacts": {"domain"},
    "config": {"artifacts"},
    "log": set(),
    "webhooks": {"domain", "store", "config"},
    "api": {"domain", "store", "artifacts", "config", "webhooks"},
    "viewer": {"domain", "store", "artifacts", "config", "api"},
    "security": {"domain", "api", "store", "config"},
    "access_log": {"log"},
    "prometheus": set(),
}
# Where libraries are imported.
HOMES: dict[str, tuple[str, ...]] = {
    "sqlalchemy": ("store",),
    "alembic": ("store",),
    "psycopg": ("store",),
    "sqlite3": ("store",),
    "boto3": ("artifacts/s3.py",),
    "botocore": ("artifacts/s3.py",),
    # Beside the API and the viewer, the layers that a request passes before it gets there.
    "starlette": ("app.py", "api", "viewer", "security.py", "access_log.py", "prometheus.py"),
    "pydantic_core": ("api",),
    "cryptography": ("webhooks/encryption.py",),
    "uvicorn": ("serve.py", "http_protocol.py"),
    "jinja2": ("viewer/rendering.py",),
    "markupsafe": ("viewer/rendering.py",),
    "markdown_it": ("viewer/notes.py",),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[str]:
    """The full names of what a file imports, at its top or anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{path} has a relative import"
            # "from runnel.api import runs" imports runnel.api.runs.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """The part of the package that a module of it belongs to."""
    return module.split(".")[1]


PARTS = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_follow_the_layers(path: Path) -> None:
    part = name_of(path).split("/")[0].removesuffix(".py")
    used = {part_of(module) for module in imports(path) if module.startswith("runnel.")} & PARTS
    assert used <= LAYERS.get(part, PARTS) | {part}


def test_every_layer_has_its_rule() -> None:
    assert PARTS - set(LAYERS) <= {
        "__init__",
        "__main__",
        "__pycache__",
        "app",
        "cli",
        "commands",
        "serve",
        "http_protocol",
    }


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    name = name_of(path)
    for module in imports(path):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert any(name == home or name.startswith(f"{home}/") for home in homes), f"{name} imports {module}"


# What only the pages need is imported by the first page that is asked for.
LATE = ("jinja2", "markupsafe", "markdown_it", "runnel.viewer.rendering")


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_what_the_pages_need_is_not_imported_at_the_start(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        assert not [name for name in names if name.startswith(LATE)]


@pytest.mark.parametrize("path", sorted((PACKAGE / "viewer").glob("*.py")), ids=name_of)
def test_pages_only_read(path: Path) -> None:
    """Transactions of pages come from ``PageRequest.read``, and nothing in the layer opens another kind."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr != "write"
            assert node.attr != "database" or name_of(path) == "viewer/pages.py"


def test_the_domain_imports_the_standard_library_only() -> None:
    for path in (PACKAGE / "domain").glob("*.py"):
        outside = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names
        assert outside <= {"runnel"}, f"{path.name} imports {outside}"


def test_nobody_imports_what_puts_the_parts_together() -> None:
    together = {"app.py", "cli.py", "serve.py", "__main__.py"}
    for path in modules():
        if name_of(path) not in together:
            assert not {"app", "cli", "serve"} & {part_of(m) for m in imports(path) if m.startswith("runnel.")}, path


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside a function, where Python would let them."""
    names = {
        f"runnel.{name_of(path).removesuffix('.py').replace('/', '.').removesuffix('.__init__')}": path
        for path in modules()
    }
    # Of "runnel.api.runs.create_run" the longest beginning that is a module is meant.
    beginnings = {name: {_module_of(used, names) for used in imports(path)} for name, path in names.items()}
    left = {name: {used for used in uses if used and used != name} for name, uses in beginnings.items()}
    while True:  # takes away what imports nothing that is left
        done = {name for name, uses in left.items() if not uses}
        if not done:
            break
        left = {name: uses - done for name, uses in left.items() if name not in done}
    assert not left, f"these import each other, or what does: {sorted(left)}"


def module_name(path: Path) -> str:
    """The full name of a module, or of the package whose ``__init__`` it is."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module_of(imported: str, names: Container[str]) -> str | None:
    while imported and imported not in names:
        imported = imported.rpartition(".")[0]
    return imported or None


@pytest.mark.parametrize("path", [*modules(), *(ROOT / "migrations").rglob("*.py")], ids=lambda path: path.name)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not {path.stem for path in modules()} & {"utils", "helpers", "common", "manager", "misc"}
