"""Help and completion: there for every verb, and quick."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from controller.cli.app import app
from controller.cli.options import limit
from tests.cli.commands import run

VERBS = tuple(get_command(app).commands)  # type: ignore[attr-defined]
HEAVY = ("lightkube", "docker", "kopf", "yaml", "controller.api")


def test_every_verb_that_is_promised_is_there() -> None:
    promised = {
        "list",
        "describe",
        "start",
        "stop",
        "pause",
        "restart",
        "plan",
        "validate",
        "top",
        "watch",
        "logs",
        "exec",
    }
    assert set(VERBS) == promised


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_examples(verb: str) -> None:
    answer = run(verb, "--help")
    assert answer.code == 0
    assert f"Examples:\n    kubectl workspace {verb}" in answer.out


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_imports_nothing_heavy(verb: str) -> None:
    program = (
        "import sys; from controller.cli.app import app\n"
        f"try: app([*{[verb] if verb else []}, '--help'])\n"
        f"except SystemExit: print([m for m in {HEAVY} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_verb_shows_the_help() -> None:
    shown = run().out + run().err
    assert "Commands:" in shown
    assert "Exit codes:" in shown
    assert "Examples:" in shown


NOT_BOTH = "Invalid value: give names, or -l and -A, not both"
NOT_ALL = "Invalid value: give names, or -l or --all (with -A in all namespaces), not both"
WHICH = "Invalid value: which ones? Give names, -l SELECTOR or --all"
PLAN = "Invalid value: for which ones? Give names, -l SELECTOR or -f FILE"
COMMAND = "Invalid value: which command? Give it after --, or -it for a shell"
WRONG = {
    "lst": "No such command 'lst'.",
    "list --nope": "No such option: --nope",
    "list -o name": "Invalid value for '--output' / '-o': 'name' is not one of 'table', 'wide', 'json', 'yaml'.",
    "list a -A": NOT_BOTH,
    "start": WHICH,
    "stop a --all": NOT_ALL,
    "stop a --wait --timeout soon": "Invalid value for '--timeout': 'soon' is no duration: write 90s, 5m or 1h30m",
    **{
        f"{verb} a --timeout 5m": "Invalid value: --timeout says how long to --wait: give both or neither"
        for verb in ("start", "stop", "pause", "restart")
    },
    "restart a -l b=c": NOT_ALL,
    "describe": "Invalid value: which ones? Give names or -l SELECTOR",
    "describe a -o wide": "Invalid value for '--output' / '-o': 'wide' is not one of 'table', 'json', 'yaml'.",
    "plan": PLAN,
    "plan a -f b.yaml": PLAN,
    "logs": "Missing argument 'name'.",
    "logs a --since yesterday": "Invalid value for '--since': 'yesterday' is no duration: write 90s, 5m or 1h30m",
    "logs a --since 99999999h": "Invalid value for '--since': '99999999h' is too far away: write a time after the year",
    "logs a --since 9999-12-31T23:59:59-10:00": "Invalid value for '--since': '9999-12-31T23:59:59-10:00' is too far",
    f"stop a --wait --timeout {'9' * 400}": "Invalid value for '--timeout': '999",
    f"stop a --wait --timeout {'9' * 5000}": "Invalid value for '--timeout': '999",
    "logs a --tail x": "Invalid value for '--tail': 'x' is no number of lines: write 0 or more",
    "logs a --tail -1": "Invalid value for '--tail': '-1' is no number of lines: write 0 or more",
    "exec": "Missing argument 'name'.",
    "exec a": COMMAND,
    "exec -t a": COMMAND,
    "exec -it a": "Invalid value: -t needs -i and a terminal as stdin: leave -t out in pipes and scripts",
    "top a -A": NOT_BOTH,
    "validate ws.yaml": "Missing option '--filename' / '-f'.",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[:80])
def test_wrong_use_is_exit_code_2_with_one_line_that_says_why(wrong: str) -> None:
    answer = run(*wrong.split(), env={"KUBECONFIG": "/nowhere"})
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(f"Error: {WRONG[wrong]}")


@pytest.mark.parametrize(("wait", "timeout", "seconds"), [(False, None, None), (True, None, 600), (True, 0.0, 0)])
def test_a_wait_has_an_end(wait: bool, timeout: float | None, seconds: float | None) -> None:
    assert limit(wait, timeout) == seconds


def test_tail_takes_a_number_of_lines() -> None:
    assert "no kubeconfig" in run("logs", "a", "--tail", "0", env={"KUBECONFIG": "/nowhere"}).err


def complete(*words: str, kubeconfig: str = "/nowhere") -> list[str]:
    """What kubectl would get for these words, the last one unfinished."""
    program = "from controller.cli.completion import main; main()"
    command = [sys.executable, "-c", program, *words]
    env = {"KUBECONFIG": kubeconfig, "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.splitlines()


def test_kubectl_completes_verbs_options_and_values() -> None:
    assert [line.partition("\t")[0] for line in complete("st")] == ["start", "stop", ":4"]
    assert "--selector" in [line.partition("\t")[0] for line in complete("stop", "--")]
    assert complete("list", "-o", "") == ["table", "wide", "json", "yaml", ":4"]
    assert complete("validate", "-f", "")[-1] == ":0"


def test_contexts_are_completed_from_the_kubeconfig(tmp_path: Path) -> None:
    entries = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("prod-eu", "prod-us", "test")]
    (tmp_path / "config").write_text(json.dumps({"contexts": entries}))
    given = str(tmp_path / "config")
    assert complete("list", "--context", "prod", kubeconfig=given) == ["prod-eu", "prod-us", ":4"]
    assert complete("list", "--kubeconfig", given, "--context", "t") == ["test", ":4"]
    (tmp_path / "config").write_text("contexts: [5]")
    assert "".join(complete("list", "--context", "", kubeconfig=given)) == ":4"


def test_completion_says_nothing_where_there_is_no_cluster() -> None:
    assert complete("stop", "a")[-1] == ":4"
