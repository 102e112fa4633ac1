"""S3 as the tests have it: moto's server, a process of its own on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx

from tests.server_process import START_SECONDS, clean_environment, free_port

REGION = "eu-west-1"
# The header by which moto knows the owner of its buckets; the signature in it is not looked at.
OWNER = {"Authorization": f"AWS4-HMAC-SHA256 Credential=tester/20260101/{REGION}/s3/aws4_request"}


class S3Process:
    """One server for S3 over HTTP. It takes any credentials, and signatures are not checked."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log_file = folder / "moto.log"
        port = str(httpx.URL(self.url).port)
        with open(self._log_file, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
                cwd=folder,
                stdout=log,
                stderr=log,
                env=clean_environment() | {"AWS_DEFAULT_REGION": REGION},
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"moto's server did not start:\n{self._log_file.read_text()}")
            time.sleep(0.05)

    @property
    def environment(self) -> dict[str, str]:
        """What a server is told so that it finds this one, and nothing that this machine knows of others."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "RUNNEL_S3_PUBLIC_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def new_bucket(self) -> str:
        """The name of a new bucket."""
        name = f"b-{uuid.uuid4().hex}"
        place = f"<LocationConstraint>{REGION}</LocationConstraint>"
        content = f"<CreateBucketConfiguration>{place}</CreateBucketConfiguration>"
        httpx.put(f"{self.url}/{name}", content=content, headers=OWNER).raise_for_status()
        return name

    @property
    def log(self) -> str:
        """A line for each request that was answered, so far."""
        return self._log_file.read_text()

    def pause(self) -> None:
        """From now on requests are taken, but not answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answers again, first what has come meanwhile."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process; from then on nobody answers at the URL."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/moto-api/", timeout=START_SECONDS).status_code == 200
        except httpx.TransportError:
            return False
