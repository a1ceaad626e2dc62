"""The documentation, and the table of the attacks, speak of the same threats."""

from devcluster.paths import REPOSITORY
from tests.security.report import THREATS


def test_each_threat_is_documented_with_its_control_and_its_attacks() -> None:
    text = (REPOSITORY / "docs" / "security.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.count(" | ") == 2]
    documented = {threat: attacks for threat, _, attacks in rows if "test_" in attacks}
    assert tuple(documented) == THREATS
    for attacks in documented.values():
        for name in attacks.replace("`", "").split(", "):
            assert (REPOSITORY / "tests" / "security" / name).is_file()
