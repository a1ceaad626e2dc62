"""`validate`: offline, with the API server's verdict, and the place of each error."""

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from devcluster.paths import REPOSITORY
from tests.cli.commands import run
from tests.conftest import Kubectl
from tests.unit.api.cases import CASES
from tests.unit.api.objects import workspace

HEADER = "apiVersion: aicli.dev/v1alpha1\nkind: Workspace\nmetadata: {name: a}\n"
TEXTS = {
    "a date as a string": ("spec: {owner: 2024-01-02}", True),
    "a time as a string": ("spec: {owner: 12:30}", True),
    "a number as a string": ("spec: {owner: 12}", False),
    "yes as a string": ("spec: {owner: yes}", False),
    "on as a boolean": ("spec: {tty: on}", True),
    "null as a string": ("spec: {owner: null}", True),
    "an octal number": ("spec: {terminationGracePeriodSeconds: 010}", True),
    "a hexadecimal number": ("spec: {terminationGracePeriodSeconds: 0x10}", True),
    "a number with an exponent": ("spec: {terminationGracePeriodSeconds: 1e2}", True),
    "a whole number with a point": ("spec: {terminationGracePeriodSeconds: 5.0}", True),
    "a fraction for an integer": ("spec: {terminationGracePeriodSeconds: 5.5}", False),
    "a number for a quantity": ("spec: {resources: {limits: {cpu: 2}}}", True),
    "an anchor and a merge": ("spec:\n  env:\n  - &a {name: A, value: x}\n  - {<<: *a, name: B}", True),
    "an unclosed list": ("spec: {command: [a}", False),
    "a tab as indentation": ("spec:\n\timage: a", False),
    "no spec": ("", False),
    "an empty spec": ("spec: {}", True),
    "a null spec": ("spec:", False),
    "a folded string": ("spec:\n  owner: >-\n    one\n    two", True),
    "a number as a label": ("spec: {}\nextra: 1", False),
}


def test_a_folder_of_good_and_broken_manifests_gets_the_verdict_of_the_api_server(tmp_path: Path) -> None:
    for number, case in enumerate(CASES):
        (tmp_path / f"{number:03}.yaml").write_text(yaml.safe_dump(case.obj))
    answer = run("validate", "-f", str(tmp_path), "-o", "json")
    refused = {int(Path(error["file"]).stem) for error in answer.json["errors"]}
    assert answer.code == 1
    assert [c.words for n, c in enumerate(CASES) if (n in refused) == (c.refused_at is None)] == []
    assert answer.json["checked"] == len(CASES) > 60


@pytest.mark.parametrize("words", TEXTS)
def test_yaml_is_read_as_kubectl_reads_it(words: str, kubectl: Kubectl) -> None:
    text, accepted = TEXTS[words]
    manifest = HEADER + text + "\n"
    with nullcontext() if accepted else pytest.raises(subprocess.CalledProcessError):
        kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest)
    answer = run("validate", "-f", "-", stdin=manifest)
    assert (answer.code == 0) == accepted, answer.out


def test_a_key_that_is_there_twice_is_refused_as_by_the_api_server(namespace: str, kubectl: Kubectl) -> None:
    """kubectl alone would send the last one; kustomize, Flux and Argo CD refuse it too."""
    manifest = json.dumps(workspace(image="a")).replace('"image"', '"image": "b", "image"')
    url = f"/apis/aicli.dev/v1alpha1/namespaces/{namespace}/workspaces?dryRun=All&fieldValidation=Strict"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl("create", "--raw", url, "-f", "-", stdin=manifest)
    assert "duplicate field" in refused.value.stderr
    assert "the key 'image' is there twice" in run("validate", "-f", "-", stdin=manifest).out


def test_an_error_names_file_line_object_and_field(tmp_path: Path) -> None:
    path = tmp_path / "ws.yaml"
    path.write_text(HEADER + "spec:\n  env:\n  - name: A\n    value: x\n  - name: B\n    valu: y\n")
    answer = run("validate", "-f", str(path))
    assert answer.code == 1
    assert answer.out.startswith(f"{path}:9: Workspace/a: spec.env[1].valu: is not a field of this API")


def test_every_document_of_a_file_and_every_item_of_a_list_is_checked() -> None:
    broken = workspace(image="a b")
    text = "---\n".join(
        [HEADER + "spec: {}\n", json.dumps({"apiVersion": "v1", "kind": "List", "items": [broken]}) + "\n", ""]
    )
    answer = run("validate", "-f", "-", stdin=text)
    assert answer.code == 1
    assert answer.out.startswith("stdin:6: Workspace/case: spec.image:")
    assert "2 objects checked" in answer.err


def test_objects_of_other_apis_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("[")
    (tmp_path / "values.yaml").write_text("replicas: 1\n")
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    answer = run("validate", "-f", str(tmp_path))
    assert (answer.code, answer.out) == (0, "0 objects checked, 2 others passed over: nothing of ours is there\n")


def test_a_file_that_is_named_must_hold_objects(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("replicas: 1\n")
    assert run("validate", "-f", str(tmp_path / "values.yaml")).code == 1


def test_the_samples_are_valid() -> None:
    assert run("validate", "-f", str(REPOSITORY / "manifests")).code == 0


def test_a_file_that_is_not_there_is_told_in_one_line() -> None:
    answer = run("validate", "-f", "nowhere.yaml")
    assert (answer.code, answer.err) == (1, "Error: nowhere.yaml: no such file or folder\n")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: \x01", b"a: [", b"{{ template }}", b"? [a]\n: b"], ids=repr)
def test_what_is_not_yaml_is_told_with_its_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ws.yaml"
    path.write_bytes(content)
    answer = run("validate", "-f", str(path))
    assert answer.code == 1
    assert answer.out.startswith(f"{path}:1: ")


def test_a_missing_file_option_is_wrong_use() -> None:
    assert run("validate").code == 2


def test_an_empty_file_has_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("---\n# nothing\n---\n")
    assert run("validate", "-f", str(tmp_path)).code == 0
