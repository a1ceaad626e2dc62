"""Good and bad objects, one difference each, fed to `validate()` and to a real API server alike."""

from tests.unit.api.host_cases import DOCKER_HOSTS
from tests.unit.api.list_cases import ENVIRONMENT, PATHS, PORTS, VOLUMES
from tests.unit.api.objects import Change, docker_host, operation, workspace
from tests.unit.api.operation_cases import OPERATIONS
from tests.unit.api.quantity_cases import QUANTITIES
from tests.unit.api.workspace_cases import METADATA, WORKSPACES

CASES = METADATA + WORKSPACES + ENVIRONMENT + PATHS + VOLUMES + PORTS + QUANTITIES + DOCKER_HOSTS + OPERATIONS

CHANGES = (
    Change("an image", workspace(image="a"), workspace(image="b")),
    Change("a host", workspace(), workspace(host="other"), "spec.host"),
    Change("the default host, written out", workspace(), workspace(host="default")),
    Change("a project", workspace(projectPath="/srv/a"), workspace(projectPath="/srv/b")),
    Change("an endpoint", docker_host(), docker_host(endpoint="unix:///a"), "spec.endpoint"),
    Change("a policy", docker_host(), docker_host(policy={"images": ["*"]})),
    Change("suspend", operation(), operation(suspend=True)),
    Change("names", operation(), operation(names=["b"]), "spec"),
    Change("a selector that is added", operation(), operation(selector={}), "spec"),
    Change("a time to live that is taken away", operation(ttlSecondsAfterFinished=5), operation(), "spec"),
    Change("a parallelism", operation(), operation(parallelism=5, suspend=True), "spec"),
    Change("the default parallelism, written out", operation(), operation(parallelism=10)),
)
