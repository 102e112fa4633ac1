"""One Python environment per server, made on demand under the git-ignored folder `.bench/`."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH_FOLDER = ROOT / ".bench"
RUNNEL = "runnel"
# What is installed where. Runnel itself is built from the checkout, so that what is measured is what users install.
REQUIREMENTS = {
    RUNNEL: (str(ROOT),),
    # With a driver for --store-uri mlflow=postgresql://...: mlflow brings none.
    "mlflow": ("mlflow==3.17.2", "psycopg[binary]"),
    "fasttrackml": ("fasttrackml==0.6.0",),
    "empty": ("starlette", "uvicorn", "uvloop", "httptools"),
}
DISTRIBUTIONS = {RUNNEL: "runnel", "mlflow": "mlflow", "fasttrackml": "FastTrackML", "empty": "starlette"}


class EnvironmentFailed(Exception):
    """An environment could not be made."""


@dataclass
class Environments:
    """Hands out environments by name; `given` names folders of environments that exist already."""

    given: dict[str, Path] = field(default_factory=dict)
    _ready: dict[str, Path] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """The environment's folder (the one above `bin`), made or brought up to date at the first call."""
        if name not in self._ready:
            self._ready[name] = self.given[name].absolute() if name in self.given else _make(name)
        return self._ready[name]

    def python(self, name: str) -> Path:
        """The environment's interpreter."""
        return self.folder(name) / "bin" / "python"

    def version(self, name: str) -> str:
        """The version of the distribution that the environment is there for."""
        code = f"import importlib.metadata as m; print(m.version({DISTRIBUTIONS[name]!r}))"
        done = subprocess.run([self.python(name), "-c", code], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() or "unknown"


def bench_folder() -> Path:
    """The folder for environments and data, which ignores itself in git."""
    BENCH_FOLDER.mkdir(exist_ok=True)
    (BENCH_FOLDER / ".gitignore").write_text("*\n")
    return BENCH_FOLDER


def _make(name: str) -> Path:
    folder = bench_folder() / name
    stamp = folder / "requirements.json"
    wanted = json.dumps(REQUIREMENTS[name])
    if name != RUNNEL and stamp.exists() and stamp.read_text() == wanted:
        return folder
    print(f"making the environment of {name} ...", file=sys.stderr, flush=True)
    if not (folder / "bin" / "python").exists():
        _run(_create_command(folder))
    install = _install_command(folder)
    if name == RUNNEL:
        _install_runnel(install)
    else:
        _run([*install, *REQUIREMENTS[name]])
    stamp.write_text(wanted)
    return folder


def _install_runnel(install: list[str]) -> None:
    """The tested dependencies first, then the checkout itself, built anew every time."""
    lock = ROOT / "requirements.lock"
    if lock.exists():
        _run([*install, "-r", str(lock)])
    fresh = "--reinstall-package=runnel" if _uv() else "--force-reinstall"
    _run([*install, fresh, *(["--no-deps"] if lock.exists() else []), str(ROOT)])


def _uv() -> str | None:
    """uv from the PATH or from beside the running interpreter; without it, venv and pip do the same, slower."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _create_command(folder: Path) -> list[str]:
    uv = _uv()
    return [uv, "venv", "--python", sys.executable, str(folder)] if uv else [sys.executable, "-m", "venv", str(folder)]


def _install_command(folder: Path) -> list[str]:
    uv, python = _uv(), str(folder / "bin" / "python")
    return [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]


def _run(command: list[str]) -> None:
    # Without VIRTUAL_ENV, or uv may think of the environment this program runs in.
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise EnvironmentFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
