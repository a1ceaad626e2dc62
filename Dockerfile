# The controller as an image. Any base with Python 3.11 or newer, its venv module and a shell will do:
#   docker build --build-arg BASE=python:3.13-slim -t workspace-controller .
# A folder wheels/ in the checkout (pip wheel -c constraints.txt -w wheels . setuptools) is used instead of the package index, so that an image can
# be built where there is none. It builds with and without BuildKit.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt LICENSE README.md wheel[s] ./
# The dependencies first: their layer stays as it is while the code changes.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/workspace-controller \
 && printf '[global]\ndisable-pip-version-check = true\nno-cache-dir = true\n' > /build/pip.conf \
 && if ls ./*.whl >/dev/null 2>&1; then printf 'no-index = true\nfind-links = /src\n' >> /build/pip.conf; fi \
 && python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
 && PIP_CONFIG_FILE=/build/pip.conf /build/bin/pip --python /opt/workspace-controller/bin/python install -q -r requirements.txt -c constraints.txt
COPY controller controller
RUN PIP_CONFIG_FILE=/build/pip.conf /build/bin/pip --python /opt/workspace-controller/bin/python install -q --no-deps .

FROM ${BASE} AS run
ENV PATH=/opt/workspace-controller/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/workspace-controller /opt/workspace-controller
# Nobody in particular. The group of a Docker socket comes from outside: docker run --group-add, or supplementalGroups of a Pod.
# Nothing is written but below /tmp: the root file system may be read-only.
USER 10001:10001
ENTRYPOINT ["workspace-controller"]
EXPOSE 8081
# For Docker; a kubelet asks by itself. Who moves --listen to another port moves this too, or runs with --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/healthz', timeout=4)"]

# The inner loop of `skaffold dev`: the code may be replaced in the running container, which starts the controller again.
FROM run AS dev
WORKDIR /src
COPY --chown=10001:10001 controller controller
COPY devcluster/reload.py reload.py
ENV PYTHONPATH=/src
ENTRYPOINT ["python3", "reload.py", "controller", "--", "python3", "-m", "controller.main"]

# The last stage is what a build without --target makes.
FROM run
