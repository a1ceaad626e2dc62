"""`make mutants`: makes each mutant in a copy of the tree and shows that the suite fails there.

Ends with `mutants: N of 9 killed`; exit code 1 unless all are, also where an edit doesn't fit the code any more, or
where the tests fail without any mutant.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devcluster.paths import REPOSITORY
from tests.mutants.mutants import MUTANTS, Edit, Mutant

PARTS = ("controller", "devcluster", "tests", "crds", "manifests", "pyproject.toml")
STALL = 90  # seconds that one test may take: in virtual time, a mistake can also be an endless loop
TIMEOUT = 600.0  # seconds for all tests of one mutant
FAILED = 1  # pytest's exit code for tests that ran and failed; others mean that they did not run


class Unfit(Exception):
    """An edit doesn't fit the code."""


def main() -> int:
    """Gives the process' exit code."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        original = Path(folder) / "original"
        _copy(original)
        tests = sorted({test for mutant in MUTANTS for test in mutant.tests})
        healthy = [_run(original, test) for test in tests]
        if any(code != 0 for code, _ in healthy):
            print("the tests fail without a mutant:", *(text for code, text in healthy if code), sep="\n")  # noqa: T201
            return 1
        killed = sum([_report(mutant, original, Path(folder) / "mutant") for mutant in MUTANTS])
    print(f"mutants: {killed} of {len(MUTANTS)} killed")  # noqa: T201
    return 0 if killed == len(MUTANTS) else 1


def _report(mutant: Mutant, original: Path, place: Path) -> bool:
    try:
        killer = _kill(mutant, original, place)
    except Unfit as error:
        print(f"{mutant.name}: NOT MADE: {error}", flush=True)  # noqa: T201
        return False
    print(f"{mutant.name}: {'killed by ' + killer if killer else 'SURVIVED'}", flush=True)  # noqa: T201
    return bool(killer)


def _kill(mutant: Mutant, original: Path, place: Path) -> str:
    """The test that fails; empty where none does. Raises Unfit."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(original, place)
    for edit in mutant.edits:
        _apply(edit, place)
    for test in mutant.tests:
        code, output = _run(place, test)
        if code == FAILED:
            failed = [line for line in output.splitlines() if line.startswith("FAILED")]
            return failed[0].split()[1] if failed else test
        if code != 0:
            raise Unfit(f"its tests did not run:\n{output}")
    return ""


def _apply(edit: Edit, place: Path) -> None:
    path = place / edit.file
    text = path.read_text()
    if text.count(edit.old) != 1:
        raise Unfit(f"{edit.file} has {text.count(edit.old)} places like {edit.old!r}")
    path.write_text(text.replace(edit.old, edit.new))


def _copy(to: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=ignore)
        else:
            shutil.copy(source, to / part)


def _run(place: Path, test: str) -> tuple[int, str]:
    """pytest's exit code and output, with the copy's own code."""
    command = [sys.executable, "-m", "pytest", "-x", "--tb=line", f"--timeout={STALL}", "-p", "no:cacheprovider"]
    command += shlex.split(test)
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return FAILED, f"FAILED {test} (no end in {TIMEOUT:.0f} s)"
    return done.returncode, done.stdout[-3000:] + done.stderr[-2000:]


if __name__ == "__main__":
    sys.exit(main())
