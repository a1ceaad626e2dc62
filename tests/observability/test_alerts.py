"""The alert rules fire when they should, and only then, as promtool reckons it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from devcluster import packages
from devcluster.paths import REPOSITORY

RULES = REPOSITORY / "manifests/components/alerts/rules.yaml"
CASES = Path(__file__).with_name("alerts_test.yaml")


def _promtool(*words: str) -> str:
    packages.install(packages.OBSERVABILITY)
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _groups(directory: Path) -> Path:
    """The groups alone, as Prometheus itself reads them."""
    path = directory / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": yaml.safe_load(RULES.read_text())["spec"]["groups"]}))
    return path


def test_the_rules_are_valid(tmp_path: Path) -> None:
    assert "14 rules found" in _promtool("check", "rules", str(_groups(tmp_path)))


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text(CASES.read_text().replace("RULES", str(_groups(tmp_path))))
    assert "SUCCESS" in _promtool("test", "rules", str(cases))


def test_each_alert_has_a_case() -> None:
    groups = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    fired = {
        case["alertname"]
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert alerts == fired
