"""The API server: its version, and its clock against this machine's."""

import ssl

import orjson

from acme_ra.doctor.client.subject import ClusterSide
from acme_ra.doctor.clocks import judge_offset
from acme_ra.doctor.directory import Unreachable, clock_offset, request
from acme_ra.doctor.findings import Finding, error, ok
from acme_ra.kubernetes.connection import Connection


async def check_api_server(side: ClusterSide) -> list[Finding]:
    if side.connection is None:
        return []
    return await judge_api_server(side.connection)


async def judge_api_server(connection: Connection) -> list[Finding]:
    """/version is open to everybody unless that was taken away; its Date header is there in any case."""
    url = f"{connection.server}/version"
    context: ssl.SSLContext = connection.tls.context()
    try:
        status, headers, body = await request("GET", url, context=context, server_name=connection.server_name)
    except Unreachable as problem:
        return [error(problem.seen, "check the address, the CA and the network in between")]
    version = "of unknown version"
    if status == 200:
        version = str(orjson.loads(body).get("gitVersion", version))
    return [
        ok(f"the API server at {connection.server} is {version}"),
        judge_offset("the API server's clock", clock_offset(headers)),
    ]
