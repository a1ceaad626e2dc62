"""Makes plain Docker hosts match the Workspaces that a Kubernetes API server declares."""

__version__ = "0.1.0"
