"""What must always be true, checked all the time by reading dockerd and the API server directly.

One thread follows each engine's events (S1), one the watch of Workspaces (S4, S6), one looks at everything once a
second (S1, S2, S10). Nothing here asks the controller or goes through a proxy. S3 is about what a test has done itself,
and S5, S7, S8, S9, S11 and L1 are about time: tests ask for them where they know when a fault began and ended.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import urllib.error
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker.errors
import requests

from controller import naming
from devcluster import Engine
from tests.faults.api import GROUP, Api, Object, Refused

LIVE = ("running", "paused", "restarting")
LOOK_EVERY = 1.0  # seconds
ABANDON = "aicli.dev/abandon"


@dataclass(frozen=True)
class Seen:
    """One Docker event of a container of ours."""

    at: float  # monotonic seconds
    action: str
    uid: str
    container: str
    name: str  # of the Workspace
    namespace: str
    exit_code: int


class Oracle:
    """Watches one API server and any number of engines from `start` to `stop`."""

    def __init__(self, api: Api, engines: Mapping[str, Engine]) -> None:
        self._api, self._engines = api, dict(engines)
        self.cluster = ""  # the uid of kube-system
        self.violations: list[str] = []
        self.events: list[Seen] = []
        self.stripped: set[str] = set()  # names of Workspaces whose finalizer a test has taken away: S4 is its doing
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._foreign: dict[str, tuple[str, tuple[Any, ...]]] = {}  # container -> engine, what must stay
        self._streams: dict[str, Any] = {}  # of events, by engine
        self._objects: dict[str, Object] = {}  # by uid
        self._version = ""  # up to which all versions of Workspaces were seen; "": they must be listed
        self._home: dict[str, str] = {}  # container -> engine
        self._inspected: set[str] = set()
        self._live: defaultdict[str, set[str]] = defaultdict(set)  # containers by uid, from events
        self._looks = 0  # how often all of an engine was looked at

    def start(self) -> None:
        """Begins; the API server must answer."""
        self.cluster = self._api.request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        for name in self._engines:
            self._thread(lambda name=name: self._follow(name))  # type: ignore[misc]
        self._thread(self._watch)
        self._thread(self._look_often)

    def stop(self) -> None:
        """Ends all threads."""
        self._stop.set()
        for stream in self._streams.values():
            with contextlib.suppress(OSError, AttributeError):  # it may just have ended by itself
                stream.close()
        for thread in self._threads:
            thread.join(20)
        if self._threads and not self._looks:
            self._violated("the oracle has never seen an engine whole")

    @property
    def stopped(self) -> bool:
        """Whether it has ended."""
        return self._stop.is_set()

    def add(self, name: str, engine: Engine) -> None:
        """Looks at one more engine from now on."""
        self._engines = self._engines | {name: engine}
        self._thread(lambda: self._follow(name))

    def drop(self, name: str) -> None:
        """No longer looks at an engine."""
        self._engines = {n: engine for n, engine in self._engines.items() if n != name}

    def protect(self, engine: str, container: str) -> None:
        """S2: this container isn't ours and must stay as it is."""
        self._foreign[container] = (engine, self._fingerprint(engine, container))

    def release(self) -> None:
        """Whoever made the foreign containers is about to remove them: the last look at them."""
        for engine in self._engines:
            self._look_at_foreign(engine)
        self._foreign.clear()

    def ended(self, since: float, namespace: str | None = None) -> list[Seen]:
        """The runs of our containers that ended since a moment."""
        return [e for e in self.seen(since, namespace) if e.action == "die"]

    def seen(self, since: float, namespace: str | None = None) -> list[Seen]:
        """Events since a moment (monotonic)."""
        return [e for e in list(self.events) if e.at >= since and namespace in (None, e.namespace)]

    def containers(self, namespace: str, name: str | None = None, engine: str = "default") -> list[Object]:
        """Inspect of each container that carries the labels of this cluster and a namespace (and a Workspace)."""
        labels = [f"{naming.LABEL_CLUSTER}={self.cluster}", f"{naming.LABEL_NAMESPACE}={namespace}"]
        labels += [f"{naming.LABEL_NAME}={name}"] if name else []
        return self._engines[engine].containers(labels, timeout=15)

    def check_converged(self, namespace: str) -> None:
        """L1: every Workspace is Ready and is what it says, and nothing is left over. Raises AssertionError."""
        objects = self._api.workspaces(namespace)
        for found in objects:
            check_ready(found)
        everything = [(n, c) for n in self._engines for c in self.containers(namespace, engine=n)]
        by_uid: defaultdict[str, list[Object]] = defaultdict(list)
        for _, container in everything:
            by_uid[container["Config"]["Labels"][naming.LABEL_UID]].append(container)
        for found in objects:
            _check_containers(found, by_uid.pop(found["metadata"]["uid"], []))
        assert not by_uid, f"S5: containers without a Workspace: {[c['Name'] for cs in by_uid.values() for c in cs]}"

    # threads

    def _thread(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._forever, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _forever(self, work: Callable[[], None]) -> None:
        """Servers come and go in these tests: what can't be asked now is asked again."""
        unreachable = (Refused, OSError, http.client.HTTPException, ValueError, KeyError)
        while not self._stop.is_set():
            try:
                work()
            except (*unreachable, requests.RequestException, docker.errors.DockerException):
                pass
            except Exception as error:
                self._violated(f"the oracle itself fails: {error!r}")
            self._stop.wait(0.5)

    def _follow(self, engine: str) -> None:
        """Events until the stream ends. One that hangs with its engine goes on with it."""
        with contextlib.closing(self._engines[engine].client(timeout=3600)) as client:
            self._streams[engine] = client.events(decode=True, filters={"type": "container"})
            self._live_now(client, engine)
            for event in self._streams[engine]:
                self._hear(event, engine)

    def _live_now(self, client: Any, engine: str) -> None:
        """Forgets what a missed event would have told."""
        rows = client.containers(all=True, filters={"label": f"{naming.LABEL_CLUSTER}={self.cluster}"})
        ids = {row["Id"] for row in rows if row["State"] in LIVE}
        for live in list(self._live.values()):  # other engines' threads add to it
            live -= {container for container in live - ids if self._home[container] == engine}

    def _hear(self, event: Mapping[str, Any], engine: str) -> None:
        labels = event["Actor"]["Attributes"]
        if labels.get(naming.LABEL_CLUSTER) != self.cluster:
            return
        uid, container, action = labels.get(naming.LABEL_UID, ""), event["Actor"]["ID"], event["Action"]
        name, namespace = labels.get(naming.LABEL_NAME, ""), labels.get(naming.LABEL_NAMESPACE, "")
        code = int(labels.get("exitCode", 0))
        self.events.append(Seen(time.monotonic(), action, uid, container, name, namespace, code))
        if action == "start":
            self._home[container] = engine
            self._live[uid].add(container)
            if len(self._live[uid]) > 1:
                self._violated(f"S1: {namespace}/{name} has live containers {sorted(self._live[uid])}")
        elif action in ("die", "destroy"):
            self._live[uid].discard(container)

    def _watch(self) -> None:
        """Every version of every Workspace: each watch goes on where the one before ended, if the server still can."""
        if not self._version:
            self._list()
        try:
            for event in self._api.watch(self._version, 5):
                self._version = self._take(event["type"], event["object"])
                if self._stop.is_set() or not self._version:
                    return
        except urllib.error.HTTPError:  # that version is too old for it, or too new
            self._version = ""
            raise

    def _take(self, event: str, found: Object) -> str:
        """The version to go on from; "" for an event of type ERROR."""
        if event == "ERROR":
            return ""
        if event == "DELETED":
            self._objects.pop(found["metadata"]["uid"], None)
            self._gone(found)
        else:
            self._came(found, _compare_next)
        return str(found["metadata"]["resourceVersion"])

    def _list(self) -> None:
        listed = self._api.request("GET", f"{GROUP}/workspaces")
        gone = self._objects.keys() - {item["metadata"]["uid"] for item in listed["items"]}
        for uid in gone:
            self._gone(self._objects.pop(uid))
        for item in listed["items"]:
            self._came(item, _compare)
        self._version = listed["metadata"]["resourceVersion"]

    def _came(self, new: Object, compare: Callable[[Object, Object], Iterator[str]]) -> None:
        uid = new["metadata"]["uid"]
        old = self._objects.get(uid)
        self._objects[uid] = new
        if old is not None:
            for what in compare(old.get("status", {}), new.get("status", {})):
                self._violated(f"S6: {new['metadata']['name']}: {what}")

    def _gone(self, old: Object) -> None:
        """S4: what held a finalizer has no container once it's gone."""
        meta = old["metadata"]
        if meta.get("annotations", {}).get(ABANDON) == "true" or meta["name"] in self.stripped:
            return
        for engine in self._engines:
            with contextlib.suppress(requests.RequestException, docker.errors.DockerException):
                for container in self.containers(meta["namespace"], meta["name"], engine):
                    if container["Config"]["Labels"][naming.LABEL_UID] == meta["uid"]:
                        self._violated(f"S4: {meta['name']} is gone, its container {container['Name']} is not")

    def _look_often(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            for name in self._engines:
                with contextlib.suppress(requests.RequestException, docker.errors.DockerException):
                    self._look(name)

    def _look(self, engine: str) -> None:
        with contextlib.closing(self._engines[engine].client(timeout=8)) as client:
            rows = client.containers(all=True, filters={"label": f"{naming.LABEL_CLUSTER}={self.cluster}"})
            live = Counter(r["Labels"].get(naming.LABEL_UID, "") for r in rows if r["State"] in LIVE)
            for uid, count in live.items():
                if count > 1:
                    self._violated(f"S1: {count} live containers of {uid} on {engine}")
            for row in rows:
                if row["Id"] not in self._inspected:
                    self._check_body(client.inspect_container(row["Id"]))
                    self._inspected.add(row["Id"])
        self._looks += 1
        self._look_at_foreign(engine)

    def _look_at_foreign(self, engine: str) -> None:
        for container, (home, before) in list(self._foreign.items()):
            if home == engine and self._fingerprint(engine, container) != before:
                self._violated(f"S2: the foreign container {container[:12]} has changed from {before}")

    def _check_body(self, found: Object) -> None:
        config = found["HostConfig"]
        wrong = [
            *(["privileged"] if config["Privileged"] else []),
            *(["a restart policy"] if config["RestartPolicy"]["Name"] not in ("no", "") else []),
            *(f"no limit: {k}" for k in ("Memory", "NanoCpus", "PidsLimit") if not config[k]),
            *(["no no-new-privileges"] if "no-new-privileges" not in str(config["SecurityOpt"]) else []),
        ]
        if wrong:
            self._violated(f"S10: {found['Name']}: {', '.join(wrong)}")

    def _fingerprint(self, engine: str, container: str) -> tuple[Any, ...]:
        with contextlib.closing(self._engines[engine].client(timeout=8)) as client:
            try:
                found = client.inspect_container(container)
            except docker.errors.NotFound:
                return ("gone",)
            return found["Id"], found["Name"], found["State"]["StartedAt"], found["RestartCount"]

    def _violated(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)


def ready(found: Object) -> Object:
    """A Workspace's condition Ready; LookupError before the first status."""
    conditions: dict[str, Object] = {c["type"]: c for c in found.get("status", {}).get("conditions", [])}
    return conditions["Ready"]


def check_ready(found: Object) -> None:
    """The Workspace is what its spec says, by its own word. Raises AssertionError."""
    status, name = found.get("status", {}), found["metadata"]["name"]
    assert "deletionTimestamp" not in found["metadata"], f"{name} is still being deleted: {status}"
    assert status.get("observedGeneration") == found["metadata"]["generation"], f"{name}: {status}"
    assert ready(found)["status"] == "True", f"{name}: {ready(found)}"


def _check_containers(found: Object, containers: list[Object]) -> None:
    spec, name = found["spec"], found["metadata"]["name"]
    states = [c["State"]["Status"] for c in containers]
    match spec.get("desiredState", "Running"):
        case "Stopped":
            assert len(states) <= 1, f"{name}: {states}"
            assert not set(states) & set(LIVE), f"{name}: {states}"
        case wanted:
            assert states == [wanted.lower()], f"{name}: {states}"
            assert found["status"]["containerID"] == containers[0]["Id"], f"{name}: the status names another container"
            assert containers[0]["Config"]["Image"].endswith(spec["image"]), f"{name}: made from another image"
            env = {f"{e['name']}={e['value']}" for e in spec.get("env", []) if "value" in e}
            assert env <= set(containers[0]["Config"]["Env"]), f"{name}: made from another environment"


def _compare(old: Object, new: Object) -> Iterator[str]:
    """What may never change so between a version of a status and a later one, whatever was in between."""
    for field in ("observedGeneration", "restartCount"):
        if new.get(field, 0) < old.get(field, 0):
            yield f"{field} went from {old.get(field)} to {new.get(field)}"


def _compare_next(old: Object, new: Object) -> Iterator[str]:
    """The same, between a version and the one that follows."""
    yield from _compare(old, new)
    before = {c["type"]: c for c in old.get("conditions", [])}
    for condition in new.get("conditions", []):
        was = before.get(condition["type"], condition)
        if was["lastTransitionTime"] != condition["lastTransitionTime"] and was["status"] == condition["status"]:
            yield f"{condition['type']} has another transition time but the same status"
