"""The API server as one user sees it, without the cost of a kubectl process for each look. Judges fields strictly."""

import base64
import json
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

TIMEOUT = 30.0  # seconds, for a request


class Refused(subprocess.CalledProcessError):
    """The API server said no. As if kubectl had failed, with what it would show as `stderr`: tests take either."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(1, ["kubectl"], "", message)
        self.add_note(message)
        self.code = code


class Api:
    """Requests with the client certificate of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = cluster["server"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile() as pair:  # the ssl module reads keys from files alone
            for key in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[key]))
            pair.flush()
            self._context.load_cert_chain(pair.name)

    def get(self, path: str) -> dict[str, Any]:
        """One object, or a list. Raises Refused."""
        return self.request("GET", path)

    def apply(self, path: str, body: dict[str, Any]) -> None:
        """Creates an object in the collection `path`, or merges into the one that has its name. Raises Refused."""
        try:
            self.request("POST", f"{path}?fieldValidation=Strict", body)
        except Refused as refusal:
            if refusal.code != 409:
                raise
            name = quote(body["metadata"]["name"], safe="")
            self.request("PATCH", f"{path}/{name}?fieldValidation=Strict", body)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Any request; a PATCH is a merge. Raises Refused."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._url + path, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=TIMEOUT) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                message = json.loads(text)["message"]
            except ValueError:
                message = text
            raise Refused(error.code, message) from None
