"""Real servers for development and tests: a Kubernetes control plane and private Docker engines, as child processes.

    cluster = ControlPlane(tmp_path / "cluster", fsync=False)   # etcd, kube-apiserver, kube-controller-manager
    cluster.start()                                             # builds the programs into the cache the first time
    cluster.kubectl("apply", "-f", "crds/")                     # stdout; CalledProcessError with stderr as note
    cluster.kubeconfig                                          # the administrator's
    cluster.user_kubeconfig("alice", ["developers"])            # anyone's; RBAC is on
    cluster.service_account_kubeconfig("default", "controller")
    cluster.apiserver.kill(), .pause(), .resume(), .stop(), .start()   # also .etcd and .controller_manager
    cluster.compact()                                           # old watches get 410 Gone
    cluster.get("/metrics")
    cluster.kill()                                              # .stop() keeps the data intact for another start()

    engine = Engine(tmp_path / "engine", live_restore=True)     # Debian's dockerd; version="29" for a current one
    engine.start()                                              # has the image alpine:latest (busybox) from the start
    engine.endpoint                                             # unix:///run/devcluster/.../docker.sock
    engine.docker("ps", "-a"), engine.client()                  # the oracle of a test
    engine.kill(), .pause(), .resume(), .stop(), .start()
    engine.load(sample.archive("stubborn:1", {"Cmd": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}))
    subprocess.run([*engine.enter, "wget", ...])                # in its network: containers' addresses, published ports
    engine.remove_containers()                                  # as new again
    engine.cleanup()                                            # always, at the end

Each private engine runs in a network namespace of its own. ``python -m devcluster`` is what the Makefile calls.
"""

from devcluster import loopback  # noqa: F401  # before anything asks a server
from devcluster.controlplane import ControlPlane
from devcluster.engines import Engine
from devcluster.process import Process, StartError
from devcluster.report import DevclusterError

__all__ = ["ControlPlane", "DevclusterError", "Engine", "Process", "StartError"]
