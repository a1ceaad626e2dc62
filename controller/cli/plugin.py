"""The token of a credential plugin (`exec` in a kubeconfig)."""

from __future__ import annotations

import json
from collections.abc import Generator

import httpx2
from lightkube.config.client_adapter import ExecAuth, sync_check_output

from controller.cli.failure import Failure


class PluginAuth(ExecAuth):
    """As lightkube's, which takes it for granted that every plugin gives a token."""

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Sends the token that is known, and a new one where there is none or it is refused. Raises Failure."""
        if self._last_bearer:
            request.headers["Authorization"] = self._last_bearer
            response = yield request
            if response.status_code != 401:
                return
        request.headers["Authorization"] = self._last_bearer = f"Bearer {self._token()}"
        yield request

    def _token(self) -> str:
        command, environment = self._prepare()
        output = sync_check_output(command, env=environment)
        plugin = f"the credential plugin {command[0]!r} of the kubeconfig"
        try:
            answer = json.loads(output)
        except ValueError as error:
            raise Failure(f"{plugin} printed no JSON: run it by hand to see what it says") from error
        status = answer.get("status") if isinstance(answer, dict) else None
        token = status.get("token") if isinstance(status, dict) else None
        if not isinstance(token, str) or not token:
            raise Failure(
                f"{plugin} must give a token (status.token), and its output has none; client certificates of a plugin "
                "are not taken: name them in the kubeconfig (client-certificate, client-key)"
            )
        return token
