"""All servers here are on the loopback interface, which no proxy reaches: neither we nor our children ask one.

(Go's programs leave loopback out by themselves; Python's don't.)
"""

import os

_HOSTS = ("127.0.0.1", "localhost")

for _variable in ("NO_PROXY", "no_proxy"):
    _named = [host for host in os.environ.get(_variable, "").split(",") if host]
    os.environ[_variable] = ",".join([*_named, *(host for host in _HOSTS if host not in _named)])
