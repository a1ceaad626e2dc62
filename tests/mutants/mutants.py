"""Nine ways to get it wrong. An edit must fit the code exactly once, or the run fails: else it would prove nothing."""

from __future__ import annotations

from dataclasses import dataclass

UNIT = "tests/unit/test_plan.py tests/unit/test_status.py tests/unit/test_backoff.py"
STORIES = "tests/fuzz/test_found.py"
CONTRACT = "tests/engine/test_contract.py -k memory"


@dataclass(frozen=True)
class Edit:
    """`old` becomes `new` in a file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One mistake, and the tests of which at least one must fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = (STORIES, UNIT)


MUTANTS = (
    Mutant(
        "random container names",
        (
            Edit(
                "controller/naming.py",
                '    return cut(f"ws-{namespace}-{name}", f"-{uid[:8]}", NAME_LIMIT - len(NEXT_SUFFIX))\n',
                '    random = __import__("secrets").token_hex(4)\n'
                '    return cut(f"ws-{namespace}-{name}", f"-{random}", NAME_LIMIT - len(NEXT_SUFFIX))\n',
            ),
        ),
        (UNIT,),
    ),
    Mutant(
        "adoption by name",
        (
            Edit(
                "controller/engine/identity.py",
                "    if _is_same(holder, cluster_id, uid) and holder.config_hash == "
                'labels.get(naming.LABEL_CONFIG_HASH, ""):\n        return holder.id\n',
                "    return holder.id\n",
            ),
        ),
        (STORIES, CONTRACT),
    ),
    Mutant(
        "no relist",
        (
            Edit(
                "controller/collector.py",
                "        known_before = store.refs()\n",
                "        if store.synced:\n            return {}\n        known_before = store.refs()\n",
            ),
        ),
    ),
    Mutant(
        "remove before pull",
        (
            Edit(
                "controller/plan.py",
                "        return self._finish([*steps, *names.after], [main], pending=pending)\n",
                '        removal = act.Remove(main.id, reason="it is replaced")\n'
                "        return self._finish([removal, *steps, *names.after], [], pending=pending)\n",
            ),
        ),
    ),
    Mutant(
        "status written unconditionally",
        (
            Edit("controller/status.py", "    if changed == previous:\n        return previous\n", ""),
            Edit("controller/reconcile.py", "        if new is not previous:\n", "        if True:\n"),
        ),
    ),
    Mutant(
        "finalizer removed first",
        (
            Edit(
                "controller/plan.py",
                "        if not self.observed.containers:\n            for volume",
                "        if True:\n            for volume",
            ),
            Edit(
                "controller/plan.py",
                '                steps.append(act.RemoveFinalizer(reason="no container is left"))\n',
                '                steps.insert(0, act.RemoveFinalizer(reason="no container is left"))\n',
            ),
        ),
    ),
    Mutant(
        "collection on a failed list",
        (
            Edit(
                "controller/collector.py",
                "        versions = await self._kube.list_versions(store.kind)\n",
                "        try:\n            versions = await self._kube.list_versions(store.kind)\n"
                "        except ApiUnavailable:\n            versions = {}\n",
            ),
        ),
    ),
    Mutant(
        "collection without cluster ID",
        (
            Edit(
                "controller/engine/identity.py",
                "    return holder.labels.get(naming.LABEL_CLUSTER) == cluster_id and holder.uid == uid\n",
                "    return holder.uid == uid\n",
            ),
            Edit(
                "controller/engine/dockerd.py",
                'filters = json.dumps({"label": [f"{naming.LABEL_CLUSTER}={self.cluster_id}"]})',
                'filters = json.dumps({"label": [naming.LABEL_UID]})',
            ),
            Edit(
                "controller/engine/memory.py",
                "        return labels.get(naming.LABEL_CLUSTER) == self.cluster_id\n",
                "        return naming.LABEL_UID in labels\n",
            ),
        ),
        (STORIES, CONTRACT),
    ),
    Mutant(
        "back-off kept only in memory",
        (
            Edit("controller/history.py", "        retries=status.retries,\n", "        retries=0,\n"),
            Edit("controller/history.py", "        next_retry_at=status.next_retry_at,\n", ""),
        ),
    ),
)
