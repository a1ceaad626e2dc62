"""WorkspaceOperations, good and bad."""

from tests.unit.api.objects import Case, manifest, operation

OPERATIONS = (
    Case("names", operation()),
    Case("a selector for all", manifest("WorkspaceOperation", {"operation": "Stop", "selector": {}}, {})),
    Case("names and a selector", operation(selector={"matchLabels": {"a": "b"}})),
    Case("no operation", manifest("WorkspaceOperation", {"names": ["a"]}, {}), "spec.operation"),
    Case("an unknown operation", operation(operation="Pause"), "spec.operation"),
    Case("no targets", manifest("WorkspaceOperation", {"operation": "Stop"}, {}), "spec"),
    Case("an empty list of names", operation(names=[]), "spec"),
    Case("a name twice", operation(names=["a", "b", "a"]), "spec.names[2]"),
    Case("a name with a slash", operation(names=["a/b"]), "spec.names[0]"),
    Case("5,000 names", operation(names=[f"a{number}" for number in range(5000)])),
    Case("5,001 names", operation(names=[f"a{number}" for number in range(5001)]), "spec.names"),
    Case("no parallelism", operation(parallelism=0), "spec.parallelism"),
    Case("no time", operation(timeoutSeconds=0), "spec.timeoutSeconds"),
    Case("a negative deadline", operation(activeDeadlineSeconds=-5), "spec.activeDeadlineSeconds"),
    Case("deleted at once", operation(ttlSecondsAfterFinished=0)),
    Case("an unknown failure policy", operation(failurePolicy="Ignore"), "spec.failurePolicy"),
    Case(
        "every field",
        operation(parallelism=1, timeoutSeconds=5, activeDeadlineSeconds=9, suspend=True, failurePolicy="Abort"),
    ),
)
