"""WorkspaceOperation: start, stop, restart or delete many Workspaces once. Never talks to an engine.

`targets` judges one Workspace, `plan` decides for all of them, `summary` says it on the status, `fit` keeps that small
enough; all four are pure. `reconciler` carries out what they decide.
"""
