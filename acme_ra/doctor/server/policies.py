"""The policies: they load, what they name is there, and something can be issued at all."""

from collections.abc import Iterator

from acme_ra.app import read_policies
from acme_ra.config.errors import Mistake
from acme_ra.doctor.findings import Finding, ok, warning
from acme_ra.doctor.server.configuration import describe
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.policy.compiled import Policy, PolicySet
from acme_ra.policy.errors import PolicyErrors
from acme_ra.policy.selectors import Globs


async def check_policies(server: ServerSide) -> list[Finding]:
    try:
        policies = read_policies(server.configuration)
    except PolicyErrors as problem:
        return [describe(Mistake(one.file, one.line, one.key, one.message, one.fix)) for one in problem.mistakes]
    findings = [*_unreachable(server, policies), *_closed(server, policies)]
    count = {effect: sum(one.effect == effect for one in policies.policies) for effect in ("grant", "guard")}
    return findings or [ok(f"{count['grant']} grants and {count['guard']} guards, digest {policies.digest[:12]}")]


def _unreachable(server: ServerSide, policies: PolicySet) -> Iterator[Finding]:
    """Selectors of which no directory can be meant: a guard of that sort guards nothing."""
    directories = tuple(server.configuration.directories)
    for policy in policies.policies:
        wanted = policy.selector.directories
        if wanted is not None and not any(wanted.match(one) for one in directories):
            seen = f"{policy.effect} {policy.name} selects directories {wanted}, and there is none of that name"
            yield warning(seen, f"correct its selector.directories; there are: {', '.join(directories)}")


def _closed(server: ServerSide, policies: PolicySet) -> Iterator[Finding]:
    """Directories where no grant applies: every request is refused."""
    for name, settings in server.configuration.directories.items():
        offered = Globs(settings.policies)
        if any(_grants(policy, name, offered) for policy in policies.policies):
            continue
        seen = f"no enforced grant applies in directory {name}, so every request there is refused"
        yield warning(seen, f"write a grant (docs/policy.md), or correct directories.{name}.policies")


def _grants(policy: Policy, directory: str, offered: Globs) -> bool:
    wanted = policy.selector.directories
    selected = wanted is None or wanted.match(directory)
    return policy.effect == "grant" and policy.enforced and selected and offered.match(policy.name)
