"""The mistakes of `make mutants` can still be made: it runs seldom, and the code goes on."""

from __future__ import annotations

import pytest

from devcluster.paths import REPOSITORY
from tests.mutants.mutants import MUTANTS, Edit

EDITS = [edit for mutant in MUTANTS for edit in mutant.edits]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.file)
def test_each_edit_fits_the_code_exactly_once(edit: Edit) -> None:
    assert (REPOSITORY / edit.file).read_text().count(edit.old) == 1
