"""What a server needs around it: clients reach its directories, and resolvers answer it."""

from acme_ra.core.problems import Problem
from acme_ra.doctor.directory import Unreachable, reach
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.doctor.trust import find_bundle
from acme_ra.validation.dns_wire import Question, RecordType, encode_name
from acme_ra.validation.resolver import RecursiveResolver, Status
from acme_ra.validation.servers import configured_servers

_ASKED = "acme-ra-doctor.invalid"
"""Never exists (RFC 6761 §6.4): a resolver that answers at all says so."""


async def check_directories(server: ServerSide) -> list[Finding]:
    """Each directory at the URL that clients use, with the trust that they have."""
    bundle = server.bundle
    if bundle is None:
        try:
            bundle = find_bundle(server.configuration.server.tls)
        except (OSError, ValueError):
            bundle = b""  # told by the server certificate's check
    findings = []
    for name in server.configuration.directories:
        url = server.urls.directory(name)
        try:
            reached = await reach(url, bundle=bundle)
        except Unreachable as problem:
            findings.append(error(problem.seen, problem.fix))
            continue
        findings.append(_judge_urls(server, url, reached.document["newNonce"]))
    return findings


def _judge_urls(server: ServerSide, url: str, new_nonce: object) -> Finding:
    """Clients go where the directory sends them."""
    if not str(new_nonce).startswith(server.urls.base + "/"):
        seen = f"{url} sends clients to {str(new_nonce)[:100]}"
        return error(seen, "restart the server with this configuration, or correct server.external_url")
    return ok(f"{url} answers")


async def check_resolvers(server: ServerSide) -> list[Finding]:
    """Each resolver by itself: the server goes on with the next one, and every validation waits for that."""
    settings = server.configuration.validation
    question = Question(encode_name(_ASKED), RecordType.A)
    findings = []
    for one in configured_servers(settings.resolvers):
        resolver = RecursiveResolver([one], timeout=settings.dns_timeout / 1000)
        try:
            (answer,) = await resolver.resolve([question])
        except Problem as problem:
            findings.append(error(f"{one.text}: {problem.detail}", "correct validation.resolvers"))
            continue
        if answer.status is Status.FAILED:
            source = "validation.resolvers" if settings.resolvers else "/etc/resolv.conf, or set validation.resolvers"
            findings.append(error(f"the resolver does not answer: {answer.reason}", f"correct {source}"))
        elif answer.status is Status.FOUND:
            seen = f"{one.text} invents answers: it has an address for {_ASKED}, which does not exist"
            findings.append(warning(seen, "use a resolver that tells the truth; validation trusts it"))
        else:
            findings.append(ok(f"{one.text} answers"))
    return findings
