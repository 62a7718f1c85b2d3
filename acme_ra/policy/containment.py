"""What includes what: patterns, globs and selectors compared without a request. Unsure is no."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from acme_ra.policy.compiled import Policy
from acme_ra.policy.patterns import Glob, NamePattern
from acme_ra.policy.schema import IssuancePolicy, Selector


def names_within(inner: Iterable[str], outer: Iterable[str]) -> bool:
    """Whether every name that an inner pattern matches is one that some single outer pattern matches."""
    wide = [NamePattern(text) for text in outer]
    return all(any(_includes(one, NamePattern(text)) for one in wide) for text in inner)


def networks_within(inner: Iterable[str], outer: Iterable[str]) -> bool:
    wide = [ip_network(text) for text in outer]
    return all(any(_holds(one, ip_network(text)) for one in wide) for text in inner)


def selected_within(inner: Policy, outer: Policy) -> bool:
    """Whether every request that `inner` selects is selected by `outer`, too."""
    narrow = _selected(inner)
    return all(key in narrow and _globs_within(narrow[key], globs) for key, globs in _selected(outer).items())


def _selected(policy: Policy) -> Mapping[str, list[str]]:
    """Each key of the selector with its globs; every one of them must match."""
    document = policy.document
    assert document is not None
    selector = document.spec.selector
    found: dict[str, list[str] | None] = {}
    if selector is not None:
        found = {
            "clusters": selector.clusters,
            "directories": selector.directories,
            "credentials": selector.credentials,
            "profiles": selector.profiles,
        }
    if isinstance(document, IssuancePolicy):
        found["namespaces"] = [document.metadata.namespace]
    elif isinstance(selector, Selector) and selector.namespaces is not None:
        found["namespaces"] = selector.namespaces.match_names
        found |= {f"label {key}": [value] for key, value in (selector.namespaces.match_labels or {}).items()}
    return {key: globs for key, globs in found.items() if globs is not None}


def _globs_within(inner: list[str], outer: list[str]) -> bool:
    return all(any(_glob_includes(one, text) for one in outer) for text in inner)


def _glob_includes(outer: str, inner: str) -> bool:
    """A `*` of the inner glob can only be matched by a `*` of the outer, which then matches all that it stands for."""
    return Glob(outer).matches(inner)


def _includes(outer: NamePattern, inner: NamePattern) -> bool:
    spare = len(inner.labels) - len(outer.labels)
    # `**.` stands for one label at least; an inner `**.` brings that one.
    fits = spare + inner.deep >= 1 if outer.deep else not inner.deep and spare == 0
    return fits and all(map(_label_includes, outer.labels, inner.labels[spare:]))


def _label_includes(outer: str, inner: str) -> bool:
    """A placeholder is included in itself and in `*`; one that may stand for several labels only in itself."""
    if inner.startswith("{") and inner.endswith("}") and inner.count("{") == 1 and inner != "{namespace}":
        return outer == inner
    return _glob_includes(outer, inner)


def _holds(outer: object, inner: object) -> bool:
    return type(outer) is type(inner) and inner.subnet_of(outer)  # type: ignore[attr-defined]
