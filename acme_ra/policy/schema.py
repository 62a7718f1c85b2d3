"""The shape of policy documents: ClusterIssuancePolicy and IssuancePolicy. Unknown keys are mistakes.

An absent key and an empty list are different things: an absent key leaves the choice to what is offered (or grants no
names), an empty list allows nothing.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from acme_ra.policy.structural import checks_of_cluster, checks_of_guard
from acme_ra.policy.values import (
    MAX_EXPRESSION,
    Challenges,
    DeniedNames,
    Globs,
    Group,
    Keys,
    Labels,
    Maximum,
    Names,
    Namespace,
    Networks,
    PolicyName,
    Text,
    Texts,
    Truth,
    Unsupported,
    Usages,
    mistake,
)

GROUP = "policy.acme-ra.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Document(BaseModel):
    """The base of every part: nothing is guessed, nothing unknown is let through, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class NamespaceSelector(Document):
    match_names: Globs | None = None
    match_labels: Labels | None = None


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
    usages: Usages | None = None


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
    routed: Truth = None
    approval: Group | None = None


class GuardSpec(Document):
    """What a guard may say. An IssuancePolicy is always one."""

    model_config = ConfigDict(json_schema_extra=checks_of_guard(GuardSelector, (Allowed, Denied, Constraints, Require)))

    mode: Literal["enforce", "shadow"] = "enforce"
    selector: GuardSelector | None = None
    allowed: Allowed | None = None
    denied: Denied | None = None
    constraints: Constraints | None = None
    require: Require | None = None
    profiles: Texts | None = None
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
        said = any(not _says_nothing(part) for part in parts if part is not None)
        if not said and self.profiles is None:
            raise mistake("this guard checks nothing", "add allowed, denied, constraints, require or profiles")

    def _check_selects_something(self) -> None:
        """For a grant an empty selector is a closed door; for a guard it would be an open one."""
        if self.selector is None:
            return
        namespaces = getattr(self.selector, "namespaces", None)
        empty = ["namespaces"] if namespaces is not None and _says_nothing(namespaces) else []
        empty += [path for path, value in _leaves(self.selector) if value in ([], {})]
        if empty:
            raise mistake(
                "an empty selector matches no request, so this guard would hold for none",
                "remove the key to hold for any, or name something",
                key=f"selector.{empty[0]}",
            )


class ClusterSpec(GuardSpec):
    """What the security team's policies may say: a guard's checks, and what a grant gives."""

    model_config = ConfigDict(json_schema_extra=checks_of_cluster(Selector, (Allowed, Denied, Constraints, Require)))

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


def _says_nothing(part: Document) -> bool:
    return all(value is None for _, value in part)


def _leaves(model: Document, prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in model:
        path = f"{prefix}{to_camel(name)}"
        found.extend(_leaves(value, f"{path}.") if isinstance(value, Document) else [(path, value)])
    return found
