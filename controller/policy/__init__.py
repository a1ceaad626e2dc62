"""What a DockerHost's policy lets Workspaces ask of its host. Pure.

Said twice: `violation` early, on what is wanted, in the words of the Workspace's spec; `check_body` last, on the very
body that the engine is about to get. The second trusts nothing that came before it.
"""

from controller.policy.body import MAX_ENV_BYTES, check_body
from controller.policy.images import normalize_image
from controller.policy.problems import policy_problems
from controller.policy.spec import violation

__all__ = ["MAX_ENV_BYTES", "check_body", "normalize_image", "policy_problems", "violation"]
