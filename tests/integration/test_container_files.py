"""The files that containers are made of, as far as they can be tried without an engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from runnel.security import AllowedHosts
from tests.server_process import START_SECONDS, clean_environment, free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
MANIFESTS = sorted((ROOT / "docs" / "kubernetes").glob("*.yaml"))
DOCUMENT = ROOT / "docs" / "deployment.md"

# `${NAME:-default}`, as compose files have it.
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
# Variables of Runnel and of what its users run; those of the engines' own programs are theirs to check.
_OURS = re.compile(r"\b(?:MLFLOW|RUNNEL)_[A-Z0-9_]+\b")
_ELSEWHERE = {
    "RUNNEL_PUBLISH",  # of the compose file
    "MLFLOW_TRACKING_URI",  # of the client
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
}


class Instruction(NamedTuple):
    """One instruction of the Dockerfile; ``stage`` counts the FROMs before it."""

    stage: int
    name: str
    value: str


@pytest.fixture(scope="module")
def dockerfile() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    instructions: list[Instruction] = []
    stage = 0
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, value = line.split(maxsplit=1)
            stage += name == "FROM"
            instructions.append(Instruction(stage, name, value))
    return instructions


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file with the defaults of its variables in their places."""
    loaded: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(r"\2", COMPOSE_FILE.read_text()))
    return loaded


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """The objects of the Kubernetes manifests."""
    return [loaded for path in MANIFESTS for loaded in yaml.safe_load_all(path.read_text())]


def values(instructions: list[Instruction], name: str, stage: int | None = None) -> list[str]:
    return [it.value for it in instructions if it.name == name and stage in (None, it.stage)]


def final_stage(instructions: list[Instruction]) -> int:
    return instructions[-1].stage


def image_environment(instructions: list[Instruction]) -> dict[str, str]:
    words = shlex.split(" ".join(values(instructions, "ENV", final_stage(instructions))))
    return dict(word.split("=", 1) for word in words)


# The image


def test_every_install_of_the_image_is_checked_by_hash(dockerfile: list[Instruction]) -> None:
    commands = [command for run in values(dockerfile, "RUN") for command in run.split("&&")]
    installs = [command for command in commands if re.search(r"\bpip\b.*\binstall\b|\buv build\b", command)]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or ("--no-deps" in command and "--no-index" in command), command
    assert any("-r requirements.lock" in command for command in installs)


def test_the_image_takes_its_python_slim_and_adds_no_system_packages(dockerfile: list[Instruction]) -> None:
    bases = {value.split()[0] for value in values(dockerfile, "FROM")}
    assert len(bases) == 1  # what was built in one stage runs in the other
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases.pop())
    assert not any(re.search(r"\bapt", run) for run in values(dockerfile, "RUN"))


def test_the_image_names_no_package_registry(dockerfile: list[Instruction]) -> None:
    for instruction in dockerfile:
        assert "://" not in instruction.value.replace("sqlite:///", ""), instruction


def test_the_image_does_not_run_as_root(dockerfile: list[Instruction]) -> None:
    (user,) = values(dockerfile, "USER", final_stage(dockerfile))
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)  # numbers: Kubernetes cannot judge a name


def test_what_the_server_keeps_is_in_the_volume(dockerfile: list[Instruction]) -> None:
    (volume,) = values(dockerfile, "VOLUME", final_stage(dockerfile))
    environment = image_environment(dockerfile)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{volume}/mlflow.db"
    assert environment["MLFLOW_ARTIFACTS_DESTINATION"] == f"{volume}/mlartifacts"


def test_what_the_image_is_built_from_is_there_and_reaches_the_builder(dockerfile: list[Instruction]) -> None:
    rules = [rule for rule in (ROOT / ".dockerignore").read_text().splitlines() if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {name for value in values(dockerfile, "COPY", 1) for name in value.split()[:-1]}
    assert copied == let_in
    for name in copied:
        assert (ROOT / name).exists(), name


@pytest.fixture
def started(dockerfile: list[Instruction], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """The image's own command in the image's own environment, with a folder in place of its volume."""
    environment = clean_environment() | image_environment(dockerfile) | {"MLFLOW_PORT": str(free_port())}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name, value in environment.items():
        if name.startswith("MLFLOW_"):
            environment[name] = value.replace("/data", str(tmp_path))
    command = json.loads(values(dockerfile, "CMD", final_stage(dockerfile))[-1])
    command[0] = shutil.which(command[0], path=environment["PATH"]) or command[0]
    with open(tmp_path / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_healthy(environment["MLFLOW_PORT"]):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(0.05)
        yield process, environment
    finally:
        process.kill()
        process.wait()


def is_healthy(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_the_image_s_command_serves_from_its_volume_and_its_health_check_knows(
    dockerfile: list[Instruction], started: tuple[subprocess.Popen[bytes], dict[str, str]], tmp_path: Path
) -> None:
    process, environment = started
    address = f"http://127.0.0.1:{environment['MLFLOW_PORT']}"
    assert httpx.get(f"{address}/ready").json() == {"database": "ok", "artifacts": "ok"}
    httpx.put(f"{address}/api/2.0/mlflow-artifacts/artifacts/1/file", content=b"x").raise_for_status()
    assert (tmp_path / "mlflow.db").is_file()
    assert (tmp_path / "mlartifacts" / "1" / "file").read_bytes() == b"x"

    (health_check,) = values(dockerfile, "HEALTHCHECK")
    check = json.loads(health_check.split("CMD", 1)[1])
    # A proxy that the engine hands to its containers is not the way to the server.
    through_proxy = environment | {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    assert subprocess.run(check, env=through_proxy).returncode == 0
    process.terminate()
    assert process.wait(30) == 0
    assert subprocess.run(check, env=environment, stderr=subprocess.DEVNULL).returncode == 1


# The compose file


def test_the_compose_file_is_one_by_its_published_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_starts_three_services_and_has_one_for_a_single_person(compose: dict[str, Any]) -> None:
    by_profile: dict[tuple[str, ...], set[str]] = {}
    for name, service in compose["services"].items():
        by_profile.setdefault(tuple(service.get("profiles", ())), set()).add(name)
    assert by_profile == {(): {"server", "postgres", "s3"}, ("single",): {"single"}}
    assert "depends_on" not in compose["services"]["single"]


def test_compose_names_the_version_of_every_image(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        tag = service["image"].partition(":")[2]
        assert tag not in ("", "latest"), name
        assert ("build" in service) == (tag == "local"), name


def test_compose_starts_the_server_when_what_it_needs_is_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    needed = services["server"]["depends_on"]
    assert set(needed) == {"postgres", "s3"}
    for name, how in needed.items():
        assert how == {"condition": "service_healthy"}
        assert services[name]["healthcheck"]["test"]


def test_compose_gives_the_server_the_keys_and_the_bucket_of_its_store(compose: dict[str, Any]) -> None:
    server, s3 = (compose["services"][name]["environment"] for name in ("server", "s3"))
    assert server["MLFLOW_ARTIFACTS_DESTINATION"] == f"s3://{s3['S3_BUCKET']}"
    assert f"/buckets/{s3['S3_BUCKET']}/" in compose["services"]["s3"]["healthcheck"]["test"][1]
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert server[key] == s3[key]


def test_compose_gives_the_server_the_account_of_its_database(compose: dict[str, Any]) -> None:
    server, postgres = (compose["services"][name]["environment"] for name in ("server", "postgres"))
    assert server["PGPASSWORD"] == postgres["POSTGRES_PASSWORD"]
    account = f"{postgres['POSTGRES_USER']}@postgres:5432/{postgres['POSTGRES_DB']}"
    assert server["MLFLOW_BACKEND_STORE_URI"] == f"postgresql://{account}"


def test_every_secret_of_the_compose_file_comes_from_outside_and_its_default_says_what_it_is_for() -> None:
    raw = yaml.safe_load(COMPOSE_FILE.read_text())
    secrets = [
        value
        for service in raw["services"].values()
        for name, value in service.get("environment", {}).items()
        if re.search(r"PASSWORD|SECRET|ACCESS_KEY", name)
    ]
    assert len(secrets) == 6
    for value in secrets:
        variable = _VARIABLE.fullmatch(value)
        assert variable is not None, value
        assert variable[2].startswith("development"), value
        assert f"`{variable[1]}`" in DOCUMENT.read_text()


def test_compose_publishes_the_server_to_this_machine_only(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        expected = ["127.0.0.1:5000:5000"] if name in ("server", "single") else []
        assert service.get("ports", []) == expected, name


def test_compose_keeps_data_in_named_volumes(compose: dict[str, Any]) -> None:
    mounted = {
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", ())
    }
    assert mounted == set(compose["volumes"]) == {"postgres", "s3", "single"}


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "192.168.1.7:5000", "server:5000", "single:5000"])
def test_the_server_of_compose_may_be_called_by_this_machine_and_by_containers(
    compose: dict[str, Any], host: str
) -> None:
    for name in ("server", "single"):
        assert is_allowed(compose["services"][name]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"], host)


def test_the_server_of_compose_is_not_called_by_foreign_names(compose: dict[str, Any]) -> None:
    for name in ("server", "single"):
        patterns = compose["services"][name]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"]
        for host in ("evil.example", "server.evil.example", "localhost.evil.example"):
            assert not is_allowed(patterns, host)


def is_allowed(patterns: str, host: str) -> bool:
    return AllowedHosts(tuple(patterns.split(","))).of({"headers": [(b"host", host.encode())]}) is not None


# Kubernetes


def test_the_manifests_run_two_replicas_with_a_probe_of_each_kind(manifests: list[dict[str, Any]]) -> None:
    (deployment,) = (it for it in manifests if it["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
    assert container["readinessProbe"]["timeoutSeconds"] > 2  # /ready takes 2 when a part hangs
    (service,) = (it for it in manifests if it["kind"] == "Service")
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_pods_run_as_the_user_of_the_image_and_need_no_writable_root(
    manifests: list[dict[str, Any]], dockerfile: list[Instruction]
) -> None:
    (user,) = values(dockerfile, "USER", final_stage(dockerfile))
    pods = [it["spec"]["template"]["spec"] for it in manifests if it["kind"] in ("Deployment", "Job")]
    assert len(pods) == 2
    for pod in pods:
        security = pod["securityContext"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
        # Kubernetes describes a service "mlflow" by MLFLOW_PORT and others, which are settings of the server.
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_manifests_hold_no_secret(manifests: list[dict[str, Any]]) -> None:
    (secret,) = (it for it in manifests if it["kind"] == "Secret")
    assert set(secret["stringData"].values()) == {"change-me"}


@pytest.mark.parametrize("host", ["runnel", "runnel.mlops.svc", "runnel.mlops.svc.cluster.local", "10.244.1.7:5000"])
def test_pods_may_be_called_by_the_names_of_their_service(manifests: list[dict[str, Any]], host: str) -> None:
    (config,) = (it for it in manifests if it["kind"] == "ConfigMap")
    assert is_allowed(config["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"], host)
    assert not is_allowed(config["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"], "runnel.evil.example")


# All of them


@pytest.mark.parametrize("path", [ROOT / "Dockerfile", COMPOSE_FILE, DOCUMENT, *MANIFESTS], ids=lambda path: path.name)
def test_every_variable_that_is_set_or_explained_is_one_that_the_server_reads(path: Path) -> None:
    read = set(_OURS.findall((ROOT / "server" / "runnel" / "config.py").read_text()))
    named = set(_OURS.findall(path.read_text()))
    assert named - read - _ELSEWHERE == set()
