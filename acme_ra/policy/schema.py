"""The shape of policy documents: ClusterIssuancePolicy and IssuancePolicy. Unknown keys are mistakes.

An absent key and an empty list are different things: an absent key leaves the choice to what is offered (or grants no
names), an empty list allows nothing.
"""

import re
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from acme_ra.core.clock import MINUTE
from acme_ra.core.duration import parse_duration
from acme_ra.core.keys import LEAF_ALGORITHMS
from acme_ra.policy.patterns import NamePattern

API_VERSION = "policy.acme-ra.dev/v1alpha1"
CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
#: The names that profiles and cert-manager use for extended key usages.
USAGES = ("server auth", "client auth", "code signing", "email protection", "timestamping", "ocsp signing")
MAX_EXPRESSION = 1000
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_POLICY_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")


def mistake(message: str, fix: str, *, key: str = "") -> PydanticCustomError:
    """A mistake of ours in pydantic's clothes. `key` is the part of the document below the place it is raised at."""
    return PydanticCustomError("policy", "{message}", {"message": message, "fix": fix, "key": key})


def _check_pattern(text: str) -> str:
    try:
        NamePattern(text)
    except ValueError as error:
        raise mistake(f"{text[:100]!r}: {error}", "write it like 'shop.example.com' or '*.{namespace}.svc'") from error
    return text


def _check_denied(text: str) -> str:
    if "{" in text:
        # A placeholder that is unknown matches nothing, and a denial that matches nothing denies nothing.
        raise mistake("a denied name may not have placeholders", "write the names out, with * and **. where needed")
    return _check_pattern(text)


def _check_network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise mistake(
            f"{text[:64]!r} is no IP address or network: {error}", "write it like 10.0.0.0/8 or ::1"
        ) from error
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise mistake(f"{text[:64]!r} is an IPv4-mapped network", "write the IPv4 network itself")
    return str(network)


def _check_duration(value: object) -> int:
    try:
        duration = parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        duration = None
    if duration is None:
        raise mistake(f"{value!r:.64} is not a duration", "write it like 90s, 10m, 720h, 47d or 1h30m")
    if duration < MINUTE:
        raise mistake(f"{value!r:.64} is too short", "allow at least 1m")
    return duration


def _check_challenges(value: object) -> object:
    if value == "none" or value is None:
        return value
    if not isinstance(value, list) or not all(one in CHALLENGES for one in value if isinstance(one, str)):
        raise mistake(f"{value!r:.100} is not accepted", f"use none, or a list of {', '.join(CHALLENGES)}")
    if not all(isinstance(one, str) for one in value) or len(set(value)) != len(value):
        raise mistake(f"{value!r:.100} is not accepted", "name each challenge once, as text")
    return value


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    def check(text: str) -> str:
        if text not in known:
            raise mistake(f"{text[:64]!r} is not known", f"use one of {', '.join(known)}")
        return text

    return AfterValidator(check)


def _matching(pattern: re.Pattern[str], message: str, fix: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.match(text):
            raise mistake(f"{text[:64]!r} is not {message}", fix)
        return text

    return AfterValidator(check)


def _not_supported(value: object) -> None:
    if value not in (None, False):
        raise mistake("is not supported in this version", "remove the key; nothing would enforce it")


def _only_true(value: bool | None) -> bool | None:
    """`false` asks for nothing, as an absent key does."""
    return value or None


Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Globs = Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=253)]], Field(max_length=1000)]
Names = Annotated[list[Annotated[str, AfterValidator(_check_pattern)]], Field(max_length=1000)]
DeniedNames = Annotated[list[Annotated[str, AfterValidator(_check_denied)]], Field(max_length=1000)]
Networks = Annotated[list[Annotated[str, AfterValidator(_check_network)]], Field(max_length=1000)]
Keys = list[Annotated[str, _one_of(tuple(sorted(LEAF_ALGORITHMS)))]]
Maximum = Annotated[int, BeforeValidator(_check_duration)]
Challenges = Annotated[Any, BeforeValidator(_check_challenges)]
Unsupported = Annotated[Any, BeforeValidator(_not_supported)]
Group = Annotated[str, _matching(_DNS_LABEL, "a group of approvers", "name one of the setting approvers")]
PolicyName = Annotated[str, _matching(_POLICY_NAME, "a policy's name", "use lower-case letters, digits, '-' and '.'")]
Namespace = Annotated[str, _matching(_DNS_LABEL, "a namespace", "name one namespace: lower-case letters, digits, '-'")]


class Document(BaseModel):
    """The base of every part: nothing is guessed, nothing unknown is let through, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class NamespaceSelector(Document):
    match_names: Globs | None = None
    match_labels: dict[Text, Text] | None = None


class GuardSelector(Document):
    """Which requests a namespace's own guard applies to; its namespace is given already."""

    clusters: Globs | None = None
    directories: Globs | None = None
    credentials: Globs | None = None
    profiles: Globs | None = None


class Selector(GuardSelector):
    namespaces: NamespaceSelector | None = None


class Allowed(Document):
    dns_names: Names | None = None
    wildcards: bool | None = None
    ip_addresses: Networks | None = None
    usages: list[Annotated[str, _one_of(USAGES)]] | None = None


class Denied(Document):
    dns_names: DeniedNames | None = None
    ip_addresses: Networks | None = None


class Constraints(Document):
    max_duration: Maximum | None = None
    keys: Keys | None = None


class Expression(Document):
    """A CEL expression that must be true, and what a refused person is told."""

    expression: Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION)]
    message: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Require(Document):
    challenges: Challenges = None
    rules: Annotated[list[Expression], Field(max_length=20)] | None = None
    routed: Annotated[bool | None, AfterValidator(_only_true)] = None
    approval: Group | None = None


class GuardSpec(Document):
    """What a guard may say. An IssuancePolicy is always one."""

    mode: Literal["enforce", "shadow"] = "enforce"
    selector: GuardSelector | None = None
    allowed: Allowed | None = None
    denied: Denied | None = None
    constraints: Constraints | None = None
    require: Require | None = None
    profiles: list[Text] | None = None
    quota: Unsupported = None

    @model_validator(mode="after")
    def _check_guard(self) -> Self:
        if self._is_guard():
            self._check_says_something()
            self._check_selects_something()
            if self.require is not None and self.require.challenges == "none":
                raise mistake("a guard cannot waive a proof", "remove it; only a grant can", key="require.challenges")
        return self

    def _is_guard(self) -> bool:
        return True

    def _check_says_something(self) -> None:
        parts = (self.allowed, self.denied, self.constraints, self.require)
        said = any(value is not None for part in parts if part is not None for _, value in part)
        if not said and self.profiles is None:
            raise mistake("this guard checks nothing", "add allowed, denied, constraints, require or profiles")

    def _check_selects_something(self) -> None:
        """For a grant an empty selector is a closed door; for a guard it would be an open one."""
        if self.selector is None:
            return
        for path, value in _leaves(self.selector):
            if value in ([], {}):
                raise mistake(
                    "an empty selector matches no request, so this guard would hold for none",
                    "remove the key to hold for any, or name something",
                    key=f"selector.{path}",
                )


class ClusterSpec(GuardSpec):
    effect: Literal["grant", "guard"]
    selector: Selector | None = None
    profile: Text | None = None
    authority: Text | None = None

    @model_validator(mode="after")
    def _check_effect(self) -> Self:
        if self.effect == "grant":
            if self.allowed is None or (self.allowed.dns_names is None and self.allowed.ip_addresses is None):
                raise mistake(
                    "this grant allows no name and no address",
                    "add allowed.dnsNames or allowed.ipAddresses",
                    key="allowed",
                )
            if self.denied is not None:
                raise mistake("a grant cannot deny", "write a policy with `effect: guard` for it", key="denied")
            if self.profile and self.profiles is not None and self.profile not in self.profiles:
                raise mistake(
                    "the profile is not among profiles", "add it to profiles, or choose another", key="profile"
                )
        else:
            for key in ("profile", "authority"):
                if getattr(self, key) is not None:
                    raise mistake(f"a guard cannot choose the {key}", "remove it; a grant chooses", key=key)
        return self

    def _is_guard(self) -> bool:
        return self.effect != "grant"


class ClusterMetadata(Document):
    name: PolicyName
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class NamespacedMetadata(ClusterMetadata):
    namespace: Namespace


class ClusterIssuancePolicy(Document):
    """Written by the security team: a grant, or a guard that no grant overrides."""

    api_version: Literal["policy.acme-ra.dev/v1alpha1"] = "policy.acme-ra.dev/v1alpha1"
    kind: Literal["ClusterIssuancePolicy"]
    metadata: ClusterMetadata
    spec: ClusterSpec

    @property
    def full_name(self) -> str:
        return self.metadata.name


class IssuancePolicy(Document):
    """Written by a namespace's owner: a guard over that namespace, which can only narrow."""

    api_version: Literal["policy.acme-ra.dev/v1alpha1"] = "policy.acme-ra.dev/v1alpha1"
    kind: Literal["IssuancePolicy"]
    metadata: NamespacedMetadata
    spec: GuardSpec

    @property
    def full_name(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"


PolicyDocument = ClusterIssuancePolicy | IssuancePolicy


def _leaves(model: Document, prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in model:
        path = f"{prefix}{to_camel(name)}"
        found.extend(_leaves(value, f"{path}.") if isinstance(value, Document) else [(path, value)])
    return found
