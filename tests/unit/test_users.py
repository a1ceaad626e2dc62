"""The index of who uses which host."""

from controller.api import Workspace
from controller.reading import parse_workspace
from controller.store import Store
from controller.users import Users


def test_a_workspace_is_found_by_its_host_and_its_uid_until_it_is_gone() -> None:
    store: Store[Workspace] = Store("Workspace", parse_workspace, lambda key: None)
    users = Users(store)
    for name, host in (("a", "one"), ("b", "two")):
        meta = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": "1"}
        store.apply({"metadata": meta, "spec": {"host": host}})
        entry = store.get(("team", name))
        assert entry is not None
        assert users.came(("team", name), entry)
        assert not users.came(("team", name), entry)
    assert users.hosts() == ["one", "two"]
    assert users.uids() == {"uid-a", "uid-b"}
    assert [w.metadata.name for w in users.of("one")] == ["a"]
    users.gone(("team", "a"))
    assert users.hosts() == ["two"]
    assert users.uids() == {"uid-b"}
