"""What tenants may write into an imagePullSecret, and what is said of it: never a value, never a traceback."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from controller.credentials import credentials_for
from controller.errors import ConfigurationError
from controller.kube import Data

IMAGE = "registry.example.com/team-a/app:1"


class _Kube:
    def __init__(self, text: str) -> None:
        self._text = text

    async def data(self, kind: str, namespace: str, name: str) -> Data:
        return Data("1:1", {".dockerconfigjson": self._text})


async def found(text: str) -> Any:
    kube: Any = _Kube(text)
    return await credentials_for(kube, "team-a", ["pull"], IMAGE)


def entry(**values: Any) -> str:
    return json.dumps({"auths": {"registry.example.com": values}})


@pytest.mark.parametrize(
    "text",
    [entry(username="alice", password="s3cret"), entry(auth=base64.b64encode(b"alice:s3cret").decode())],
    ids=["username and password", "auth"],
)
async def test_credentials_are_found(text: str) -> None:
    credentials = await found(text)
    assert (credentials.username, credentials.password) == ("alice", "s3cret")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"auths": ' + "[" * 100_000,
        entry(auth="é"),
        entry(auth="c3VwZXJzM2NyZXQ"),
        entry(auth=base64.b64encode(b"\xff:s3cret").decode()),
        entry(username="alice", password="s3cret\ud800"),
    ],
    ids=["empty", "a list", "too deep", "not ASCII", "not padded", "not UTF-8", "half a character"],
)
async def test_what_is_wrong_is_told_without_a_value(text: str) -> None:
    with pytest.raises(ConfigurationError, match="imagePullSecrets: Secret 'pull'") as refused:
        await found(text)
    assert "s3cret" not in str(refused.value)
    assert refused.value.reason == "InvalidImagePullSecret"
