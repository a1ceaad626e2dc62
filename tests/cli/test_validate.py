"""`validate`: offline, with the API server's verdict, and the place of each error."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.failure import Failure
from controller.cli.prospects import planned_files
from devcluster.paths import REPOSITORY
from tests.cli.commands import run
from tests.conftest import Kubectl
from tests.unit.api.cases import CASES
from tests.unit.api.objects import workspace

HEADER = "apiVersion: aicli.dev/v1alpha1\nkind: Workspace\nmetadata: {name: a}\n"
PROGRAM = "from controller.cli import main; main()"
MULTIPLIED = "[&a0 [x], " + ", ".join(f"&a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 9)) + "]"  # 9**8 strings
TEXTS = {
    "a date as a string": ("spec: {owner: 2024-01-02}", True),
    "a time as a string": ("spec: {owner: 12:30}", True),
    "a number as a string": ("spec: {owner: 12}", False),
    "yes as a string": ("spec: {owner: yes}", False),
    "on as a boolean": ("spec: {tty: on}", True),
    "y as a string": ("spec: {owner: y}", False),
    "y as a boolean": ("spec: {tty: y}", True),
    "N as a boolean": ("spec: {tty: N}", True),
    "a mixture of cases as a string": ("spec: {owner: yEs}", True),
    "null as a string": ("spec: {owner: null}", True),
    "an octal number": ("spec: {terminationGracePeriodSeconds: 010}", True),
    "a hexadecimal number": ("spec: {terminationGracePeriodSeconds: 0x10}", True),
    "a hexadecimal number with a large X": ("spec: {terminationGracePeriodSeconds: 0X1F}", True),
    "a binary number with a large B": ("spec: {terminationGracePeriodSeconds: 0B1}", True),
    "a decimal number with a leading zero": ("spec: {terminationGracePeriodSeconds: 08}", True),
    "a fraction with an underscore": ("spec: {recovery: {backoff: {factor: 1_.5}}}", True),
    "0x_ as a string": ("spec: {owner: 0x_}", True),
    "0x_ as a number": ("spec: {terminationGracePeriodSeconds: 0x_}", False),
    "0b_ as a string": ("spec: {owner: 0b_}", True),
    "a number of 5,000 digits": ("spec: {terminationGracePeriodSeconds: " + "9" * 5000 + "}", False),
    "infinity": ("spec: {recovery: {backoff: {factor: .inf}}}", False),
    "a number with an exponent": ("spec: {terminationGracePeriodSeconds: 1e2}", True),
    "a whole number with a point": ("spec: {terminationGracePeriodSeconds: 5.0}", True),
    "a fraction for an integer": ("spec: {terminationGracePeriodSeconds: 5.5}", False),
    "a number for a quantity": ("spec: {resources: {limits: {cpu: 2}}}", True),
    "an anchor and a merge": ("spec:\n  env:\n  - &a {name: A, value: x}\n  - {<<: *a, name: B}", True),
    "a merge below a key": ("spec:\n  env:\n  - &a {name: A, value: x}\n  - {name: B, <<: *a}", False),
    "an anchor that is there twice": ("spec: {workingDir: &a /a, owner: &a b, host: *a}", True),
    "an alias of nothing": ("spec: {owner: *a}", False),
    "an alias of what it is in": ("spec: &a {env: *a}", False),
    "aliases that multiply": ("spec: {args: " + MULTIPLIED + "}", False),
    "aliases that are few": ("spec:\n  args: [&a x, " + "*a, " * 200 + "]", True),
    "base64": ("spec: {image: !!binary YWxwaW5l}", True),
    "what is no base64": ("spec: {image: !!binary alp}", False),
    "a time with its tag": ("spec: {owner: !!timestamp 2024-01-02}", True),
    "what is no time": ("spec: {owner: !!timestamp soon}", False),
    "a number with the tag of a string": ("spec: {owner: !!str 12}", True),
    "a string with the tag of a number": ("spec: {terminationGracePeriodSeconds: !!int soon}", False),
    "a string with the tag of a boolean": ("spec: {tty: !!bool maybe}", False),
    "an unknown tag of a string": ("spec: {owner: !mine 12}", True),
    "an unknown tag of an object": ("spec: !mine {}", True),
    "a set": ("spec: !!set {owner}", True),
    "a list as a key": ("spec: {? [a] : b}", False),
    "null as a key": ("spec: {~: b}", False),
    "tabs between words": ("spec:\t{owner:\ta,\n\t\t\thost: b}", True),
    "an unknown field that is null": ("spec: {ownr: null}", False),
    "a status": ("spec: {}\nstatus: {phase: Running, conditions: [{type: a}]}", True),
    "a status of other types": ("spec: {}\nstatus: {phase: 5, conditions: x}", True),
    "a status that is none": ("spec: {}\nstatus: []", True),
    "an unknown field of a status": ("spec: {}\nstatus: {foo: 1}", False),
    "an unknown field in a list of a status": ("spec: {}\nstatus: {conditions: [{foo: 1}]}", False),
    "an unclosed list": ("spec: {command: [a}", False),
    "a tab as indentation": ("spec:\n\timage: a", False),
    "no spec": ("", False),
    "an empty spec": ("spec: {}", True),
    "a null spec": ("spec:", False),
    "a folded string": ("spec:\n  owner: >-\n    one\n    two", True),
    "half of a character": (r'spec: {owner: "\ud800"}', False),
    "a character in two halves": (r'spec: {owner: "\ud83d\ude00"}', False),
    "a character by its number": (r'spec: {owner: "\U0001F600"}', True),
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


def test_a_character_in_two_halves_is_whole_in_json_as_for_kubectl(kubectl: Kubectl) -> None:
    manifest = json.dumps(workspace(owner="\U0001f600"))
    assert "\\ud83d\\ude00" in manifest
    kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest)
    assert run("validate", "-f", "-", stdin=manifest).code == 0


@pytest.mark.parametrize(
    "text",
    [
        HEADER.replace("{name: a}", '\n  name: a\n  annotations: {a: "\\ud800"}') + "spec: {}\n",
        HEADER + 'spec:\n  owner: x\n  "\\ud800": y\n',
        json.dumps(workspace(owner="\ud800"), indent=1).replace("{", "{\n\n\n", 1),
    ],
    ids=["annotation", "key", "JSON"],
)
def test_half_of_a_character_is_told_with_its_line(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "ws.yaml").write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "ud800" in line)
    told = rf"{path}:{line}: is not valid YAML: the escape \ud800 is half of a character"
    assert run("validate", "-f", str(path)).out.startswith(told)
    planner: Any = None  # not asked
    with pytest.raises(Failure, match=re.escape(told)):
        planned_files(planner, [str(path)])


def test_a_colon_in_the_name_of_a_file_that_is_not_yaml_is_no_line(tmp_path: Path) -> None:
    (path := tmp_path / "x: y.yaml").write_text("a: 1\nb: [")
    (error,) = run("validate", "-f", str(path), "-o", "json").json["errors"]
    assert (error["file"], error["line"]) == (str(path), 2)
    assert error["message"].startswith("is not valid YAML: ")


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


LISTS = {
    "items without a kind": ("WorkspaceList", "", True),
    "items of another list without a kind": ("List", "", False),
    "items with a kind alone": ("WorkspaceList", "kind: Workspace, ", False),
    "items with an unknown field": ("WorkspaceList", "speck: {}, ", False),
}


@pytest.mark.parametrize("words", LISTS)
def test_items_of_a_typed_list_have_its_kind_as_for_kubectl(words: str, kubectl: Kubectl) -> None:
    kind, fields, accepted = LISTS[words]
    manifest = (
        f"apiVersion: aicli.dev/v1alpha1\nkind: {kind}\nitems:\n- {{{fields}metadata: {{name: a}}, spec: {{}}}}\n"
    )
    with nullcontext() if accepted else pytest.raises(subprocess.CalledProcessError):
        kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest)
    assert (run("validate", "-f", "-", stdin=manifest).code == 0) == accepted


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("apiVersion: aicli.dev/v1alpha1\nmetadata: {name: a}\nspec: {}", ":1: a: kind: must be one of Workspace, "),
        (
            "apiVersion: v1alpha1\nkind: Workspace\nmetadata: {name: a}\nspec: {}",
            ":1: Workspace/a: apiVersion: must be ",
        ),
        ("kind: Workspace\nmetadata: {name: a}\nspec: {}", ":1: Workspace/a: apiVersion: must be aicli.dev/v1alpha1"),
        (HEADER.replace("{name: a}", "[]") + "spec: {}", ":3: metadata: must be an object"),
        (HEADER.replace("metadata: {name: a}\n", "") + "spec: {}", ":1: metadata: is required, with a name"),
        (HEADER + "spec: {}\nstatus:\n  foo: 1", ":6: Workspace/a: status.foo: is not a field of this API"),
        (HEADER + "spec:\n  a: 1\n  b: null", ":5: Workspace/a: spec.a: is not a field of this API"),
    ],
)
def test_a_mistake_is_told_where_it_is_and_in_words(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "ws.yaml"
    path.write_text(text + "\n")
    answer = run("validate", "-f", str(path))
    assert answer.code == 1
    assert answer.out.startswith(f"{path}{told}")
    assert len(answer.out.splitlines()) == (2 if "spec.a" in told else 1)


def test_a_kind_of_ours_in_another_group_is_not_ours() -> None:
    answer = run("validate", "-f", "-", stdin="apiVersion: app.terraform.io/v1alpha2\nkind: Workspace\nspec: 5\n")
    assert (answer.code, answer.out) == (0, "0 objects checked, 1 others passed over: nothing of ours is there\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEADER.replace("aicli.dev/", "") + "spec: {}", ":1: apiVersion: must be aicli.dev/v1alpha1"),
        (HEADER + "spec: {}\nstatus: {foo: 1}", ":5: status.foo: is not a field of this API"),
    ],
)
def test_a_plan_refuses_what_validate_refuses(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "ws.yaml"
    path.write_text(text + "\n")
    planner: Any = None  # not asked
    with pytest.raises(Failure, match=re.escape(told)):
        planned_files(planner, [str(path)])


def test_the_samples_are_valid() -> None:
    assert run("validate", "-f", str(REPOSITORY / "manifests")).code == 0


def test_a_file_that_is_not_there_is_told_in_one_line() -> None:
    answer = run("validate", "-f", "nowhere.yaml")
    assert (answer.code, answer.err) == (1, "Error: nowhere.yaml: no such file or folder\n")


def test_a_pipe_is_read_as_a_file_is() -> None:
    script = 'echo "$2" | "$0" -c "$1" validate -f <(echo "$2") -f /dev/stdin'
    command = ["bash", "-c", script, sys.executable, PROGRAM, f"{HEADER}spec: {{tty: soon}}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert [line.split(": ")[1:3] for line in told.splitlines()] == [["Workspace/a", "spec.tty"]] * 2


def test_an_empty_name_of_a_file_is_not_the_current_folder() -> None:
    answer = run("validate", "-f", "")
    assert (answer.code, answer.err.startswith("Error: -f '': is no file or folder")) == (1, True)


def test_a_closed_stdin_is_told() -> None:
    command = ["sh", "-c", '"$0" -c "$1" validate -f - <&-', sys.executable, PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("Error: stdin: is closed")) == (1, True)


def test_a_reader_that_has_seen_enough_makes_no_success_of_it(tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text("\n---\n".join([f"{HEADER}spec: {{tty: soon}}"] * 50))
    program = "import sys; from controller.cli import main; sys.stdin.readline(); main()"
    command = [sys.executable, "-c", program, "validate", "-f", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(b"go on\n")
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize(
    "args",
    ["validate -f -", "validate -f - -o json", "validate -f - -o yaml", "validate --help", "--help", "--version"],
)
@pytest.mark.parametrize("spec", ["{}", "{tty: soon}"], ids=["valid", "broken"])
def test_a_full_disk_is_told_in_one_line(spec: str, args: str) -> None:
    command = ["sh", "-c", f'"$0" -c "$1" {args} > /dev/full', sys.executable, PROGRAM]
    done = subprocess.run(command, input=f"{HEADER}spec: {spec}\n", capture_output=True, text=True, check=False)
    told = "Error: the output can't be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_a_name_that_no_file_can_have_is_told_in_one_line() -> None:
    answer = run("validate", "-f", "x" * 5000)
    assert (answer.code, answer.err.endswith("can't be opened: File name too long\n")) == (1, True)


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
