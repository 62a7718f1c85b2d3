# The image of acme-ra: the program and its locked dependencies on a Python base, no shell needed, no root.
#
#   docker build -t acme-ra .
#   docker run -p 14000:14000 -v acme-ra:/data acme-ra quickstart --data /data --listen 0.0.0.0:14000 --hostname localhost
#
# BASE is any image with Python 3.11: python.org's slim one by default (an optimised build, no compiler, security updates
# within days), or one of your own made from Debian's packages. Pin it by digest where the image must be the same again.
# Nothing runs in the last stage: what the image has beyond its base is one folder, and the same sources, lock file and
# base give the same bytes (docs/install.md tells how; a test builds it twice).
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
# The order of sets in compiled modules depends on the seed.
ENV PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# A Debian base has Python without pip. This stage is thrown away.
RUN python3 -c 'import ensurepip' 2>/dev/null || \
    { apt-get -qq -o Acquire::Retries=5 update && DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -o Acquire::Retries=5 -y --no-install-recommends install python3-venv; }
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/acme-ra
COPY requirements.lock /src/
# Two secrets that stay out of every layer: `--secret id=pip.conf,src=FILE` for a package index of your own, and
# `--secret id=ca-bundle,src=FILE` where its certificate is not of a public CA.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca-bundle,target=/run/ca-bundle \
    if [ -e /run/ca-bundle ]; then export PIP_CERT=/run/ca-bundle; fi; \
    /tools/bin/pip --python /opt/acme-ra/bin/python install --quiet --no-compile --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY config /src/config
COPY acme_ra /src/acme_ra
# The build backend goes again, and so do CEL's libraries of further functions, which policies do not have (37 MB).
# Modules are compiled here, because nobody can write beside them later, and are not compared with their sources' dates.
# Every date is the same.
RUN /tools/bin/pip --python /opt/acme-ra/bin/python install --quiet --no-compile --no-deps --no-build-isolation /src \
 && /tools/bin/pip --python /opt/acme-ra/bin/python uninstall --quiet --yes editables hatchling pathspec pluggy trove-classifiers \
 && rm -r /opt/acme-ra/lib/python3*/site-packages/cel_expr_python/ext \
 && /opt/acme-ra/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/acme-ra/lib \
 && mkdir --parents --mode 700 /volumes/data \
 && find /opt/acme-ra /volumes -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
COPY --from=build /opt/acme-ra /opt/acme-ra
COPY --from=build --chown=10001:10001 /volumes/ /
ENV PATH=/opt/acme-ra/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 ACME_RA_CONFIG=/data/acme-ra.yaml
USER 10001:10001
VOLUME /data
EXPOSE 14000
ENTRYPOINT ["acme-ra"]
CMD ["serve"]
