"""The policies: they load, what they name is there, and something can be issued at all."""

from collections.abc import Iterator

from acme_ra.app import read_policies
from acme_ra.config.errors import Mistake
from acme_ra.doctor.findings import Finding, ok, warning
from acme_ra.doctor.server.configuration import describe
from acme_ra.doctor.server.database import all_credentials
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.policy.compiled import Policy, PolicySet
from acme_ra.policy.errors import PolicyErrors
from acme_ra.policy.selectors import Globs
from acme_ra.storage.contract import StoreUnavailable
from acme_ra.storage.schema import SchemaMismatch


async def check_policies(server: ServerSide) -> list[Finding]:
    try:
        policies = read_policies(server.configuration)
    except PolicyErrors as problem:
        return [describe(Mistake(one.file, one.line, one.key, one.message, one.fix)) for one in problem.mistakes]
    findings = [
        *_unreachable(server, policies),
        *_elsewhere(await _clusters(server), policies),
        *_closed(server, policies),
    ]
    count = {effect: sum(one.effect == effect for one in policies.policies) for effect in ("grant", "guard")}
    told = f"grants: {count['grant']}, guards: {count['guard']}, digest {policies.digest[:12]}"
    return findings or [ok(f"{told}{_further(server)}")]


def _further(server: ServerSide) -> str:
    names = [name for name, one in server.configuration.clusters.items() if one.policies != "none"]
    return f"; more as resources in {', '.join(names)}" if names else ""


def _unreachable(server: ServerSide, policies: PolicySet) -> Iterator[Finding]:
    """Selectors of which no directory can be meant: a guard of that sort guards nothing."""
    directories = tuple(server.configuration.directories)
    for policy in policies.policies:
        wanted = policy.selector.directories
        if wanted is not None and not any(wanted.match(one) for one in directories):
            seen = f"{policy.effect} {policy.name} selects directories {wanted}, and there is none of that name"
            yield warning(seen, f"correct its selector.directories; there are: {', '.join(directories)}")


async def _clusters(server: ServerSide) -> set[str] | None:
    """Every cluster that a request can come from: configured, or of a credential; None where that cannot be told."""
    known = set(server.configuration.clusters)
    if server.configuration.storage.path.exists():
        try:
            known |= {one.binding.cluster for one in await all_credentials(server)}
        except (SchemaMismatch, StoreUnavailable):
            return None  # told by the database's check
    return known - {""}


def _elsewhere(clusters: set[str] | None, policies: PolicySet) -> Iterator[Finding]:
    """Selectors of which no cluster can be meant."""
    for policy in policies.policies if clusters is not None else ():
        selector = None if policy.document is None else policy.document.spec.selector
        if selector is None or selector.clusters is None:
            continue
        wanted = Globs(selector.clusters)
        if not any(wanted.match(one) for one in clusters or ()):
            seen = f"{policy.effect} {policy.name} selects clusters {wanted}, and there is none of that name"
            fix = f"correct its selector.clusters; known are: {', '.join(sorted(clusters or ())) or 'none'}"
            yield warning(seen, fix)


def _closed(server: ServerSide, policies: PolicySet) -> Iterator[Finding]:
    """Directories where no grant applies: every request is refused, unless grants are resources in a cluster."""
    if any(one.policies == "all" for one in server.configuration.clusters.values()):
        return
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
