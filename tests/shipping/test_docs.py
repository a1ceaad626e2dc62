"""The documentation says nothing that is not so: links, commands, files, YAML, reasons, alerts, settings."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller import errors, settings
from controller.api import validate
from controller.cli.app import app
from devcluster.paths import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
SHELL = ("sh", "bash", "console")
_PROGRAMS = (
    *("kubectl", "kubectl-workspace", "workspace-controller", "kustomize", "kubeconform", "skaffold", "flux"),
    *("docker", "ctr", "kind", "systemctl", "journalctl", "curl", "apt-get", "pip", "python3?", "make", "git"),
)
COMMAND = re.compile(rf"^(?:\$ |sudo )?(?:{'|'.join(_PROGRAMS)}) .*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w./{-])(?:manifests|docs|tests|schemas|crds|devcluster|controller|benchmarks)/[\w./-]*\w")
MADE = "benchmarks/out/"  # written by a run, not kept
GROUP = "aicli.dev/v1alpha1"
# The minor version of Kubernetes that takes it in a CRD; CEL's functions from the one after their introduction.
SINCE = {"selectableFields:": 31, "isIP(": 31, "cidr(": 31}
each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in FENCE.findall(page.read_text()):
        if language in languages:
            yield text


def inline(page: Path, program: str) -> Iterator[str]:
    """The commands of a program that the text of a page has between backquotes."""
    for span in SPAN.findall(FENCE.sub("", page.read_text())):
        command = " ".join(span.split())
        if command.startswith(f"{program} "):
            yield command


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@each_page
def test_named_files_exist(page: Path) -> None:
    for path in PATH.findall(page.read_text()):
        kept = (REPOSITORY / path).exists() or (REPOSITORY / f"{path}.py").exists()
        assert kept or path.startswith(MADE), path


@each_page
def test_shell_commands_can_be_run(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    verbs = {command.name for command in app.registered_commands}
    for text in blocks(page, *SHELL):
        parsed = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert "$ " in text or parsed.returncode == 0, parsed.stderr
    within = (command for program in ("make", "kubectl") for command in inline(page, program))
    for text in (*blocks(page, *SHELL), *within):
        for make in re.findall(r"^(?:\$ )?make (?:-s )?([a-z][a-z0-9-]*)", text, re.MULTILINE):
            assert make in targets, f"make {make}"
        for verb in re.findall(r"^(?:\$ )?kubectl[ -]workspace ([a-z]+)", text, re.MULTILINE):
            assert verb in verbs, f"kubectl workspace {verb}"


@each_page
def test_commands_stand_in_blocks_that_say_so(page: Path) -> None:
    """The blocks of other languages are not run, so nobody would notice a command there that fails."""
    text = page.read_text()
    found = FENCE.findall(text)
    assert len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)) == 2 * len(found), "a block that FENCE does not see"
    for language, block in found:
        if language not in SHELL:
            assert not COMMAND.findall(block), block


def test_every_folder_of_tests_has_its_target_and_its_row() -> None:
    folders = {f"tests/{file.parent.name}" for file in (REPOSITORY / "tests").glob("*/test_*.py")}
    for name in ("Makefile", "CONTRIBUTING.md"):
        text = (REPOSITORY / name).read_text()
        assert [folder for folder in sorted(folders) if not re.search(rf"{folder}\b", text)] == [], name


@each_page
def test_yaml_of_our_kinds_is_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict) and document.get("apiVersion") == GROUP:
                assert not validate(document), text


def test_samples_and_gitops_examples_are_valid() -> None:
    documents = [
        document
        for file in (REPOSITORY / "manifests").rglob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if document.get("apiVersion") == GROUP and "patch" not in file.parts and "spec" in document
    ]
    complete = [document for document in documents if document["metadata"]["name"] != "patched"]
    assert len(complete) > 5
    assert [problem for document in complete for problem in validate(document)] == []


def test_oldest_api_server_that_is_named_has_what_the_crds_use() -> None:
    crds = "".join(file.read_text() for file in (REPOSITORY / "crds").glob("*.yaml"))
    used = [since for feature, since in SINCE.items() if feature in crds]
    text = "".join((REPOSITORY / "docs" / name).read_text() for name in ("install.md", "upgrades.md"))
    named = re.findall(r"Kubernetes API servers? ?,? ?(?:from )?1\.(\d+)", text)
    assert named == [str(max(used))] * 2


def reasons() -> set[str]:
    """Every reason that the code gives to an error."""
    found = {subclass.reason for subclass in subclasses(errors.WorkspaceError)} - {"Error"}
    for file in (REPOSITORY / "controller").rglob("*.py"):
        found |= set(re.findall(r'\breason="([A-Z]\w+)"', file.read_text()))
    return found - {"Unknown"}


def subclasses(kind: type[errors.WorkspaceError]) -> Iterator[type[errors.WorkspaceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_reason_is_explained() -> None:
    text = (REPOSITORY / "docs" / "phases.md").read_text()
    assert [reason for reason in sorted(reasons()) if f"`{reason}`" not in text] == []


def test_every_phase_is_explained() -> None:
    crd = yaml.safe_load((REPOSITORY / "crds" / "workspaces.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    text = (REPOSITORY / "docs" / "phases.md").read_text()
    phases = schema["properties"]["status"]["properties"]["phase"]["enum"]
    assert [phase for phase in phases if phase and f"\n| {phase} |" not in text] == []


def test_every_alert_has_its_section_in_the_runbook() -> None:
    rules = yaml.safe_load((REPOSITORY / "manifests" / "components" / "alerts" / "rules.yaml").read_text())
    alerts = {rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]}
    text = (REPOSITORY / "docs" / "runbook.md").read_text()
    section = text[text.index("## Alerts") : text.index("## Tasks")]
    assert set(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == alerts
    for part in section.split("\n### ")[1:]:
        assert all(word in part for word in ("**Meaning.**", "**Check.**", "**Remedy.**")), part


def test_every_setting_is_named_in_the_installation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.parse(["--help"])
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--version"}
    text = (REPOSITORY / "docs" / "install.md").read_text()
    assert [flag for flag in sorted(flags) if f"`{flag}`" not in text] == []
