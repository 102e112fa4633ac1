"""One timed loop: wrk with a Lua script that builds the requests, and what it reports."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "wrk"
# The script's last line of output, see wrk/result.lua.
MARK = "RESULT "
# wrk would call an answer that takes longer an error; slow is no error here.
ANSWER_TIMEOUT_SECONDS = 120


class LoadFailed(Exception):
    """wrk is missing, or ended without a result."""


@dataclass(frozen=True)
class LoopResult:
    """What a loop came to. `errors` counts answers that were not 2xx or 3xx and connections that broke."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds if self.seconds else 0.0


def require_wrk() -> None:
    """Fail with a sentence that helps if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise LoadFailed("wrk is not installed: it drives the loops (on Debian and Ubuntu: apt-get install wrk)")


def run_loop(url: str, script: str, clients: int, seconds: int, arguments: list[str]) -> LoopResult:
    """Let `clients` connections send what `script` builds, one request after the other on each, for `seconds`.

    One thread of wrk's is enough for any server here, and leaves the most of a small machine to the server.
    """
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", f"--timeout={ANSWER_TIMEOUT_SECONDS}s"]
    command += ["-s", script, url, "--", *arguments]
    try:
        done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, timeout=seconds + 60)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"wrk with {script} did not end in time") from error
    return parse_result(done.stdout, done.stderr)


def parse_result(output: str, complaints: str = "") -> LoopResult:
    """Read the line that wrk/result.lua prints; anything else is a failure with wrk's own words."""
    for line in output.splitlines():
        if line.startswith(MARK):
            data = json.loads(line.removeprefix(MARK))
            broken = data["connect"] + data["read"] + data["write"] + data["timeout"]
            return LoopResult(
                requests=data["requests"],
                seconds=data["microseconds"] / 1e6,
                errors=data["status"] + broken,
                p50_ms=data["p50"] / 1000,
                p99_ms=data["p99"] / 1000,
            )
    raise LoadFailed(f"wrk gave no result: {(complaints or output)[-500:]}")
