"""What answers of the API server mean."""

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.core.internal_models import meta_v1

from controller.kube import ApiUnavailable, Conflict, Gone, _translated


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        (404, 'workspaces.aicli.dev "a" not found', Gone),
        (409, "the object has been modified", Conflict),
        (422, 'Workspace.aicli.dev "a" is invalid: metadata.uid: Invalid value: "1": field is immutable', Conflict),
        (422, 'Workspace.aicli.dev "style-guide" is invalid: spec.image: Required value', ApiError),
        (429, "too many requests", ApiUnavailable),
        (503, "apiserver is shutting down", ApiUnavailable),
        (403, "workspaces.aicli.dev is forbidden", ApiError),
    ],
)
def test_an_answer_is_told_apart(code: int, message: str, meaning: type[Exception]) -> None:
    found = _translated(ApiError(status=meta_v1.Status(code=code, message=message)))
    assert type(found) is meaning
