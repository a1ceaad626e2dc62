"""What answers of the API server mean."""

from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from lightkube import KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.core.internal_models import meta_v1

from controller.kube import ApiUnavailable, Conflict, Gone, Kube, _translated, kubeconfig


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        (404, 'workspaces.aicli.dev "a" not found', Gone),
        (409, "the object has been modified", Conflict),
        (422, 'Workspace.aicli.dev "a" is invalid: metadata.uid: Invalid value: "1": field is immutable', Conflict),
        (422, 'Workspace.aicli.dev "style-guide" is invalid: spec.image: Required value', ApiError),
        (429, "too many requests", ApiUnavailable),
        (503, "apiserver is shutting down", ApiUnavailable),
        (403, "workspaces.aicli.dev is forbidden", ApiError),
    ],
)
def test_an_answer_is_told_apart(code: int, message: str, meaning: type[Exception]) -> None:
    found = _translated(ApiError(status=meta_v1.Status(code=code, message=message)))
    assert type(found) is meaning


CONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "https://named.example:6443"}}]
users: [{name: me, user: {token: x}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
"""


def test_the_kubeconfig_that_is_named_comes_before_the_account_of_a_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = KubeConfig.from_one(cluster=Cluster(server="https://10.0.0.1:443"), user=User(token="t"))
    monkeypatch.setattr(KubeConfig, "from_env", lambda: account)
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    named = kubeconfig().get()
    assert named is not None
    assert named.cluster.server == "https://named.example:6443"
    monkeypatch.delenv("KUBECONFIG")
    assert kubeconfig() is account


@pytest.mark.parametrize(
    "error",
    [msgspec.DecodeError("JSON is malformed"), ConfigError("no token file"), httpx2.ConnectError("refused")],
    ids=["a proxy's page", "a token that is being renewed", "no connection"],
)
async def test_no_answer_that_can_be_used_is_none(error: Exception) -> None:
    async def call() -> None:
        raise error

    kube = Kube(KubeConfig.from_one(cluster=Cluster(server="http://127.0.0.1:1"), user=User()))
    with pytest.raises(ApiUnavailable):
        await kube._call(call())
    await kube.close()


async def test_a_list_that_a_proxy_answers_with_a_page_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    kube = Kube(KubeConfig.from_one(cluster=Cluster(server="http://127.0.0.1:1"), user=User()))
    client: Any = kube._client

    async def send(request: httpx2.Request, **_: Any) -> httpx2.Response:
        return httpx2.Response(200, text="<html>", request=request)

    monkeypatch.setattr(client._client, "send", send)
    with pytest.raises(ApiUnavailable):
        await kube.list_metadata("Workspace")
    await kube.close()
