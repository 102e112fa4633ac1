"""The built wheel, installed in an empty environment with the locked versions, serves as well as the clone does."""

import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uv

ROOT = Path(__file__).resolve().parents[2]
UV = uv.find_uv_bin()
# What would lead the installed copy back to the clone, or to a server configured elsewhere.
LEAVES_OUT = re.compile(r"PYTHON(PATH|HOME)$|VIRTUAL_ENV$|MLFLOW_|RUNNEL_")

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and the empty folder to work in."""

    bin: Path
    folder: Path
    env: dict[str, str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)], cwd=ROOT)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("elsewhere")
    environment = home / "env"
    run([UV, "venv", "--quiet", "--python", sys.executable, str(environment)])
    bin = environment / "bin"
    install = [UV, "pip", "install", "--quiet", "--python", str(bin / "python")]
    locked = [*install, "--compile-bytecode", "--require-hashes", "-r", str(ROOT / "requirements.lock")]
    # The clone's own set-up has left everything in uv's cache, unless that was cleaned.
    if subprocess.run([*locked, "--offline"], capture_output=True).returncode:
        run(locked)
    run([*install, "--no-deps", str(wheel)])
    folder = home / "empty"
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if not LEAVES_OUT.match(name)}
    return Installed(bin, folder, env)


@pytest.fixture(scope="module")
def address(installed: Installed) -> Iterator[str]:
    port = free_port()
    log = installed.folder.parent / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [installed.bin / "runnel", "server", "--host", "127.0.0.1", "--port", str(port)],
            cwd=installed.folder,
            env=installed.env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_healthy(address, server, log)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def test_the_wheel_holds_every_file_of_the_package_and_the_migrations(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package, migrations = ROOT / "server" / "runnel", ROOT / "migrations"
    expected = {f"runnel/{file}" for file in files_of(package)} | {
        f"runnel/migrations/{file}" for file in files_of(migrations)
    }
    assert packed == expected


def test_the_installed_package_is_not_the_clone(installed: Installed) -> None:
    where = run(
        [str(installed.bin / "python"), "-c", "import runnel; print(runnel.__file__)"],
        cwd=installed.folder,
        env=installed.env,
    )
    assert Path(where.strip()).is_relative_to(installed.bin.parent)


def test_the_installed_server_is_healthy_and_tells_its_version(address: str) -> None:
    assert httpx.get(f"{address}/health").status_code == 200
    version = httpx.get(f"{address}/version")
    assert version.status_code == 200
    assert re.match(r"\d+\.\d+", version.text)


def test_the_installed_server_keeps_an_experiment_in_the_folder_it_was_started_in(
    address: str, installed: Installed
) -> None:
    api = f"{address}/api/2.0/mlflow/experiments"
    created = httpx.post(f"{api}/create", json={"name": "from the wheel"})
    assert created.status_code == 200, created.text
    found = httpx.get(f"{api}/get-by-name", params={"experiment_name": "from the wheel"})
    assert found.json()["experiment"]["experiment_id"] == created.json()["experiment_id"]
    assert (installed.folder / "mlflow.db").is_file()


def run(command: list[str], **options: object) -> str:
    """What the command printed; its errors are in the failure's message."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def files_of(folder: Path) -> set[str]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(folder).as_posix() for file in files}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the server ended with {server.returncode}:\n{log.read_text()}"
        try:
            if httpx.get(f"{address}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(f"no answer from {address} within 30 seconds:\n{log.read_text()}")
