"""A private registry (Debian's docker-registry with htpasswd) in the network of an engine, reached on its loopback."""

import base64
import json
from pathlib import Path

import bcrypt

from devcluster import Engine, Process
from devcluster.ports import free_port
from tests.waiting import eventually

USER, PASSWORD = "puller", "correct-horse-battery"
_CONFIG = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {directory}/data}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}
"""


class Registry:
    """Nothing can be pulled from it without the password."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine, self._directory = engine, directory
        self.address = f"127.0.0.1:{free_port()}"
        config = directory / "config.yml"
        config.write_text(_CONFIG.format(directory=directory, port=self.address.rpartition(":")[2]))
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (directory / "htpasswd").write_text(f"{USER}:{hashed}\n")
        self._process = Process("registry", [*engine.enter, "docker-registry", "serve", str(config)], directory)

    def start(self) -> None:
        """Starts it; nothing is in it."""
        self._process.start()
        login = ["login", "--username", USER, "--password", PASSWORD, self.address]
        eventually(lambda: self.engine.docker("--config", str(self._directory / "docker"), *login))

    def stop(self) -> None:
        """Stops it."""
        self._process.stop()

    def pause(self) -> None:
        """Freezes it: connections are accepted and nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Lets it go on."""
        self._process.resume()

    def push(self, image: str, name: str) -> str:
        """Pushes an image of the engine under a name here, forgets it on the engine, and gives its reference."""
        reference = f"{self.address}/{name}"
        self.engine.docker("tag", image, reference)
        self.engine.docker("--config", str(self._directory / "docker"), "push", "--quiet", reference)
        self.engine.docker("rmi", reference)
        return reference

    def pull_secret(self, password: str = PASSWORD) -> dict[str, str]:
        """The data of a kubernetes.io/dockerconfigjson Secret."""
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        entry = {"username": USER, "password": password, "auth": auth}
        return {".dockerconfigjson": json.dumps({"auths": {self.address: entry}})}
