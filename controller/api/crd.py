"""Generates `crds/*.yaml`, `schemas/` and `docs/api.md` from the models.

python -m controller.api.crd            write them
python -m controller.api.crd --check    exit with 1 and a diff if the files are not what the models say
"""

import argparse
import difflib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from controller.api.dockerhost import DockerHost
from controller.api.model import GROUP, VERSION
from controller.api.operation import WorkspaceOperation
from controller.api.reference import reference
from controller.api.schema import editor_schema, structural_schema
from controller.api.workspace import Workspace

_HEADER = "# Generated from controller/api by `python -m controller.api.crd`. Do not edit.\n"


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; a `wide` one is shown with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""

    def as_yaml(self) -> dict[str, Any]:
        """The entry of `additionalPrinterColumns`."""
        entry: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        entry |= {"description": self.description} if self.description else {}
        return entry | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True)
class Kind:
    """What a CRD says beside the schema."""

    model: type[BaseModel]
    purpose: str
    plural: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()


class _Plain(yaml.SafeDumper):
    """Without anchors: `&id001` is for machines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_READY = Column("Ready", _condition("Ready", "status"), description="Whether it is as declared")
_REASON = Column("Reason", _condition("Ready", "reason"), description="Why it is ready or not, in one word")
_MESSAGE = Column("Message", _condition("Ready", "message"), wide=True, description="Why, in words")

KINDS = (
    Kind(
        model=Workspace,
        purpose="a container on a Docker host, as somebody wants it (`ws`, namespaced)",
        plural="workspaces",
        short_names=("ws",),
        categories=("all", "aicli"),
        namespaced=True,
        columns=(
            Column("State", ".status.phase", description="What it is doing"),
            _READY,
            _REASON,
            Column("Image", ".spec.image"),
            Column("Host", ".spec.host", description="The DockerHost that it runs on"),
            Column("Restarts", ".status.restartCount", "integer"),
            Column("Uptime", ".status.startedAt", "date", description="Since when the container runs"),
            _AGE,
            Column("Container ID", ".status.containerID", wide=True),
            Column("Owner", ".spec.owner", wide=True),
            Column("Project", ".spec.projectPath", wide=True, description="Mounted directory of the host"),
            _MESSAGE,
        ),
        selectable=(".spec.host", ".spec.desiredState", ".status.phase"),
    ),
    Kind(
        model=DockerHost,
        purpose="a Docker Engine, and what it shares with whom (`dh`, cluster-scoped)",
        plural="dockerhosts",
        short_names=("dh",),
        categories=("aicli",),
        namespaced=False,
        columns=(
            _READY,
            _REASON,
            Column("Endpoint", ".spec.endpoint"),
            Column("Engine", ".status.engineVersion", description="Version of the Docker Engine"),
            Column("Workspaces", ".status.workspaces", "integer", description="Workspaces that name this host"),
            Column("Running", ".status.running", "integer", description="Workspaces whose container runs"),
            _AGE,
            Column("API", ".status.apiVersion", wide=True, description="Version of Docker's API in use"),
            Column("Last contact", ".status.lastContact", "date", wide=True),
            _MESSAGE,
        ),
    ),
    Kind(
        model=WorkspaceOperation,
        purpose="one action on many Workspaces, once (`wsop`, namespaced)",
        plural="workspaceoperations",
        short_names=("wsop",),
        categories=("aicli",),
        namespaced=True,
        columns=(
            Column("Operation", ".spec.operation"),
            Column("Progress", ".status.progress", description="Finished and all Workspaces"),
            Column("Failed", ".status.failed", "integer", description="Failed Workspaces"),
            Column("State", ".status.phase"),
            _AGE,
        ),
        selectable=(".status.phase",),
    ),
)


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    name = kind.model.__name__
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": structural_schema(kind.model)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.as_yaml() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    names = {"kind": name, "listKind": f"{name}List", "plural": kind.plural, "singular": name.lower()}
    lists = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names | lists,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def generated_files() -> dict[Path, str]:
    """Paths relative to the repository, and what the files must contain."""
    files = {}
    for kind in KINDS:
        definition = yaml.dump(custom_resource_definition(kind), Dumper=_Plain, sort_keys=False, width=120)
        files[Path("crds", f"{kind.plural}.yaml")] = _HEADER + definition
        schema = json.dumps(editor_schema(kind.model), indent=2, ensure_ascii=False) + "\n"
        files[Path("schemas", GROUP, f"{kind.model.__name__.lower()}_{VERSION}.json")] = schema
    kinds = [(kind.model.__name__, kind.purpose, structural_schema(kind.model)) for kind in KINDS]
    files[Path("docs", "api.md")] = reference(kinds)
    return files


def drift(root: Path) -> str:
    """A diff from the files under `root` to what the models say; empty if they agree."""
    diffs: list[str] = []
    for path, text in generated_files().items():
        old = (root / path).read_text() if (root / path).exists() else ""
        lines = difflib.unified_diff(
            old.splitlines(), text.splitlines(), str(path), f"{path} (from the models)", "", "", 3, ""
        )
        diffs.extend(lines)
    return "\n".join(diffs)


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check only compare; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.api.crd", description="Generate crds/ and what goes with it."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the files differ")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="the repository")
    options = parser.parse_args(arguments)
    if options.check:
        differences = drift(options.root)
        if differences:
            sys.stderr.write(
                f"{differences}\n\nThe generated files are not what the models say: run `make generate`.\n"
            )
        return 1 if differences else 0
    for path, text in generated_files().items():
        (options.root / path).parent.mkdir(parents=True, exist_ok=True)
        (options.root / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
