"""Which cluster, as whom: the kubeconfig as kubectl reads it. Files in KUBECONFIG are merged, the first wins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from controller.cli.failure import Failure

DEFAULT = Path("~/.kube/config")
_FILES = {"clusters": ("cluster", ("certificate-authority",)),
          "users": ("user", ("client-certificate", "client-key", "tokenFile"))}  # fmt: skip
_SECTIONS = ("clusters", "contexts", "users")
_EXEC_INFO = (
    '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {"interactive": false}}'
)


def load(kubeconfig: Path | None, context: str | None) -> SingleConfig:
    """The chosen context: of the given file, else of KUBECONFIG or ~/.kube/config, else the Pod's own account.

    Raises:
        Failure: there is no kubeconfig, it can't be read, or it has no such context.
    """
    paths = [kubeconfig] if kubeconfig else _paths()
    existing = [path for path in paths if _is_there(path)]
    if not existing:
        if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            return _in_cluster()
        raise Failure(
            f"no kubeconfig at {', '.join(map(str, paths))}: name one with --kubeconfig or the variable KUBECONFIG"
        )
    merged = _merge(_read(path) for path in existing)
    try:
        config = KubeConfig.from_dict(merged, fname=existing[0]).get(context)
    except ConfigError as error:
        names = ", ".join(entry["name"] for entry in merged["contexts"]) or "none"
        raise Failure(f"{error}: the contexts are {names}; choose one with --context") from error
    except KeyError as error:
        raise Failure(f"a context of {existing[0]} names {error}, which is no cluster or user there") from error
    except (TypeError, ValueError) as error:
        raise Failure(f"the kubeconfig {existing[0]} can't be used: {error!r}") from error
    if config is None:
        raise Failure("no current context: choose one with --context or `kubectl config use-context`")
    config = config._replace(user=config.user or User())
    _check_files(config, existing[0])
    return config


def contexts(kubeconfig: Path | None) -> list[str]:
    """The names of all contexts, as `load` would find them, but for those of pipes. Raises Failure."""
    paths = [kubeconfig] if kubeconfig else _paths()
    merged = _merge(_read(path) for path in paths if path.is_file())
    return [str(entry["name"]) for entry in merged["contexts"]]


def is_a_pipe(kubeconfig: Path | None) -> bool:
    """Whether some of it can be read but once: completion must leave that to the command."""
    paths = [kubeconfig] if kubeconfig else _paths()
    return any(_is_there(path) and not path.is_file() for path in paths)


def _is_there(path: Path) -> bool:
    """Pipes are, such as of <(sops -d kubeconfig); /dev/null, for none at all, is not."""
    return path.exists() and not path.is_dir() and not path.is_char_device()


def _check_files(config: SingleConfig, source: Path) -> None:
    user = config.user or User()
    for path in (config.cluster.certificate_auth, user.client_cert, user.client_key):
        if path and not Path(path).is_file():
            hint = "" if source.is_file() else ": a pipe has no folder, so give whole paths in it"
            raise Failure(f"the kubeconfig {source} names the file {path}, which is not there{hint}")


def _paths() -> list[Path]:
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return named or [DEFAULT.expanduser()]


def _in_cluster() -> SingleConfig:
    try:
        config = KubeConfig.from_service_account().get()
    except (ConfigError, KeyError) as error:
        raise Failure(f"no kubeconfig, and the Pod's service account can't be used: {error}") from error
    assert config is not None
    return config


def _read(path: Path) -> dict[str, Any]:
    """One file, with the files that it names made absolute: they are relative to it."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
        for section, (key, names) in _FILES.items():
            for entry in content.get(section) or ():
                _make_absolute(entry.setdefault(key, {}), names, path.parent)
        if not all(isinstance(entry["name"], str) for section in _SECTIONS for entry in content.get(section) or ()):
            raise TypeError("the names of clusters, contexts and users must be strings")
        for entry in content.get("users") or ():
            _take_current_exec_version(entry["user"].get("exec"))
    except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise Failure(f"the kubeconfig {path} can't be read: {error}") from error
    return dict(content)


def _make_absolute(entry: dict[str, Any], names: Iterable[str], folder: Path) -> None:
    for name in names:
        if entry.get(name):
            entry[name] = str(folder.absolute() / entry[name])


def _take_current_exec_version(plugin: dict[str, Any] | None) -> None:
    """lightkube runs credential plugins of v1beta1 and reads the token alone; v1 differs in what a plugin is told."""
    if plugin and plugin.get("apiVersion") == "client.authentication.k8s.io/v1":
        plugin["apiVersion"] = "client.authentication.k8s.io/v1beta1"
        told = {"name": "KUBERNETES_EXEC_INFO", "value": _EXEC_INFO}
        plugin["env"] = [*(plugin.get("env") or ()), told]


def _merge(files: Iterable[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {"clusters": [], "contexts": [], "users": [], "current-context": None}
    for file in files:
        merged["current-context"] = merged["current-context"] or file.get("current-context")
        for section in _SECTIONS:
            known = {entry["name"] for entry in merged[section]}
            merged[section] += [entry for entry in file.get(section) or () if entry["name"] not in known]
    return merged
