# docker build -t acme-ra .
# docker run -p 14000:14000 -v acme-ra:/data acme-ra quickstart --data /data --listen 0.0.0.0:14000 --hostname localhost
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/acme-ra
COPY requirements.lock /src/
RUN /opt/acme-ra/bin/pip install --no-cache-dir --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY config /src/config
COPY acme_ra /src/acme_ra
RUN /opt/acme-ra/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data acme-ra && install -d -o 10001 -g 10001 -m 700 /data
COPY --from=build /opt/acme-ra /opt/acme-ra
ENV PATH=/opt/acme-ra/bin:$PATH ACME_RA_CONFIG=/data/acme-ra.yaml
USER 10001:10001
VOLUME /data
EXPOSE 14000
ENTRYPOINT ["acme-ra"]
CMD ["serve"]
