"""Lint: policies that are valid and hardly meant. A remark is made only where it is certain."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from acme_ra.policy.compiled import Policy
from acme_ra.policy.containment import names_within, networks_within, selected_within
from acme_ra.policy.documents import parse_policies
from acme_ra.policy.errors import PolicyMistake
from acme_ra.policy.patterns import NamePattern
from acme_ra.policy.schema import Allowed, ClusterSpec, Selector
from acme_ra.policy.yaml_source import Path, read_documents


class Remark(NamedTuple):
    """`path` is the key's place in the policy's document."""

    policy: Policy
    check: str
    path: Path
    message: str
    fix: str


class PlacedRemark(NamedTuple):
    check: str
    policy: str
    mistake: PolicyMistake


def lint(sources: list[tuple[str, bytes]]) -> list[PlacedRemark]:
    """Every remark on the set that these (name, content) pairs make, by file and line. Raises PolicyErrors."""
    policies = parse_policies(sources).policies
    places = {_key(one.value): (file, one) for file, content in sources for one in read_documents(content)}
    found = []
    for remark in _remarks(policies):
        file, source = places[(remark.policy.kind, remark.policy.name)]
        mistake = PolicyMistake(file, source.line(remark.path), _dotted(remark.path), remark.message, remark.fix)
        found.append(PlacedRemark(remark.check, remark.policy.name, mistake))
    return sorted(found, key=lambda one: one.mistake)


def _key(value: Any) -> tuple[str, str]:
    """Of a document that was parsed as a policy already: its kind and full name."""
    metadata = value["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else metadata["name"]
    return value["kind"], name


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _remarks(policies: tuple[Policy, ...]) -> Iterator[Remark]:
    grants = [one for one in policies if one.effect == "grant"]
    guards = [one for one in policies if one.effect == "guard" and one.enforced]
    for index, grant in enumerate(grants):
        idle = [*_selects_nothing(grant), *_gives_nothing(grant)]
        yield from idle
        yield from _broad_names(grant)
        if idle:
            continue
        yield from _always_refused(grant, guards)
        yield from _unreachable(grant, index, grants)


# ------------------------------------------------------------------------------------------------------------ one grant


def _selects_nothing(grant: Policy) -> Iterator[Remark]:
    selector = _spec(grant).selector
    if selector is None:
        return
    at: Path = ("spec", "selector")
    lists: list[tuple[Path, object]] = [
        ((*at, key), getattr(selector, key)) for key in ("clusters", "directories", "credentials", "profiles")
    ]
    namespaces = selector.namespaces if isinstance(selector, Selector) else None
    if namespaces is not None:
        lists += [
            ((*at, "namespaces", "matchNames"), namespaces.match_names),
            ((*at, "namespaces", "matchLabels"), namespaces.match_labels),
        ]
        if namespaces.match_names is None and namespaces.match_labels is None:
            lists.append(((*at, "namespaces"), []))
    for path, value in lists:
        if value is not None and not value:
            message = "is empty and selects no request, so this grant gives nothing"
            yield Remark(grant, "selects-nothing", path, message, "remove the key to select any, or name something")


def _gives_nothing(grant: Policy) -> Iterator[Remark]:
    allowed = _allowed(grant)
    if not allowed.dns_names and not allowed.ip_addresses:
        message = "names nothing, so this grant gives nothing"
        yield Remark(grant, "gives-nothing", ("spec", "allowed"), message, "name something, or remove the policy")


def _broad_names(grant: Policy) -> Iterator[Remark]:
    for index, text in enumerate(_allowed(grant).dns_names or []):
        path: Path = ("spec", "allowed", "dnsNames", index)
        pattern = NamePattern(text)
        suffix = _fixed_suffix(pattern)
        star = next((label for label in pattern.labels if label[:1] == "*" and label[1:2].isalnum()), "")
        if star:
            meant = text.replace(star, f"*.{star[1:]}", 1)
            message = f"{text!r} also matches {text.replace('*' + star[1:], 'evil' + star[1:], 1)!r}"
            fix = f"write {meant!r} for the names below"
            yield Remark(grant, "broad-name", path, message, fix)
        elif not suffix and "*" in pattern.labels[-1]:
            message = f"{text!r} has no fixed ending, so it matches names of any domain"
            yield Remark(grant, "broad-name", path, message, "write the domain out, as in '*.example.com'")
        elif suffix != text and _is_public_suffix(suffix):
            message = (
                f"{text!r} gives names of whole domains: {suffix!r} is a public suffix, below which anyone registers"
            )
            yield Remark(grant, "public-suffix", path, message, "write the registered domain out")


def _fixed_suffix(pattern: NamePattern) -> str:
    """The labels at the end that stand for themselves."""
    fixed: list[str] = []
    for label in reversed(pattern.labels):
        if "*" in label or "{" in label:
            break
        fixed.insert(0, label)
    return ".".join(fixed)


def _is_public_suffix(name: str) -> bool:
    """By the list that is installed; an ending that is not on it (svc, internal) is nobody's public suffix."""
    return bool(name) and bool(_suffixes().publicsuffix(name) == name)


@cache
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)


# -------------------------------------------------------------------------------------------------- grants and others


def _always_refused(grant: Policy, guards: list[Policy]) -> Iterator[Remark]:
    for guard in guards:
        # A guard is selected by the profile that would be used, which a grant may choose: then nothing is certain.
        always = guard.selector.profiles is None and selected_within(grant, guard)
        why = _refusal(grant, guard) if always else None
        if why is not None:
            path, reason = why
            message = f"guard {guard.name} refuses everything that this grant gives: {reason}"
            yield Remark(grant, "always-refused", path, message, "change one of the two, or remove the grant")
            return


def _refusal(grant: Policy, guard: Policy) -> tuple[Path, str] | None:
    spec, other, allowed = _spec(grant), _spec(guard), _allowed(grant)
    denied = other.denied
    if denied is not None:
        names, networks = denied.dns_names or [], denied.ip_addresses or []
        # A request may ask for an address or a name alone, so both sorts must be denied in full.
        if names_within(allowed.dns_names or [], names) and networks_within(allowed.ip_addresses or [], networks):
            return ("spec", "allowed"), "all of it is denied"
    keys = spec.constraints and spec.constraints.keys
    wanted = other.constraints and other.constraints.keys
    if keys is not None and wanted is not None and not set(keys) & set(wanted):
        return ("spec", "constraints", "keys"), f"its constraints.keys are {', '.join(wanted) or 'none'}"
    if grant.profiles is not None and guard.profiles is not None and not set(grant.profiles) & set(guard.profiles):
        key = "profile" if spec.profiles is None else "profiles"
        return ("spec", key), f"its profiles are {', '.join(guard.profiles) or 'none'}"
    demanded = guard.challenges
    if grant.challenges is not None and demanded is not None and not set(grant.challenges) & set(demanded):
        return ("spec", "require", "challenges"), f"its require.challenges are {', '.join(demanded) or 'none'}"
    return None


def _unreachable(grant: Policy, index: int, grants: list[Policy]) -> Iterator[Remark]:
    for place, other in enumerate(grants):
        if place == index or not other.enforced or not _gives_as_much(other, grant):
            continue
        if place > index and grant.enforced and _gives_as_much(grant, other):
            continue  # they are alike: the later one is told
        message = f"grant {other.name} gives all of this on the same terms, so this one makes no difference"
        fix = f"remove it, or narrow {other.name}; keep it if a directory's `policies` takes this one without the other"
        yield Remark(grant, "unreachable", ("metadata", "name"), message, fix)
        return


def _gives_as_much(wide: Policy, narrow: Policy) -> bool:
    """Whether `wide` allows whatever `narrow` does, with nothing else about the certificate or the proof."""
    one, other = _spec(wide), _spec(narrow)
    if _terms(one) != _terms(other):
        return False
    gives, given = _allowed(wide), _allowed(narrow)
    return (
        gives.usages == given.usages
        and (gives.wildcards is True or given.wildcards is not True)
        and names_within(given.dns_names or [], gives.dns_names or [])
        and networks_within(given.ip_addresses or [], gives.ip_addresses or [])
        and selected_within(narrow, wide)
    )


def _terms(spec: ClusterSpec) -> tuple[object, ...]:
    return spec.constraints, spec.require, spec.profile, spec.profiles, spec.authority


def _spec(policy: Policy) -> Any:
    assert policy.document is not None
    return policy.document.spec


def _allowed(grant: Policy) -> Allowed:
    allowed = _spec(grant).allowed
    assert isinstance(allowed, Allowed)
    return allowed
