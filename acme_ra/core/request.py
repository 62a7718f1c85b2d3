"""What is asked, by whom, and the facts known about it: the whole input of a decision."""

from enum import StrEnum

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.identifiers import Identifier
from acme_ra.core.keys import KeyAlgorithm


class Stage(StrEnum):
    """Where in the protocol policy is asked. Later stages know more; the last one decides."""

    NEW_ORDER = "newOrder"
    AUTHORIZATION = "authorization"
    FINALIZE = "finalize"


class Workload(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose order it is, and how that is known. Empty strings mean unknown, and unknown matches no selector."""

    source: str  # the attribution source: "credential", "kubernetes"
    cluster: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}
    name: str = ""
    owner: str = ""
    evidence: dict[str, str] = {}


class GivenApproval(msgspec.Struct, frozen=True):
    """A person's approval of this very request, whose seal was verified: for which policy, by whom, and when."""

    policy: str
    group: str
    by: str
    at: Instant


class IssuanceRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request as policy sees it. `key` and `proofs` are known at finalize only."""

    stage: Stage
    directory: str
    account: str  # resource id
    credential: str  # kid, or ""
    identifiers: tuple[Identifier, ...]
    workload: Workload | None = None
    profile: str = ""  # what the client asked for, or ""
    not_before: Instant | None = None
    not_after: Instant | None = None
    replaces: str = ""  # the certificate that this one replaces (RFC 9773 §5), known at finalize only
    key: KeyAlgorithm | None = None
    key_fingerprint: str = ""
    csr_digest: str = ""
    proofs: dict[str, str] = {}  # identifier value → challenge type that proved it, or "none"
    routes: dict[str, str] | None = None  # identifier value → what carries it, as "Ingress web"; None: not looked up
    approved: tuple[GivenApproval, ...] = ()  # verified, of this order


class ProfileFacts(msgspec.Struct, frozen=True):
    """What a profile would put into a certificate; `validity` in milliseconds."""

    validity: int
    usages: tuple[str, ...]
    keys: tuple[KeyAlgorithm, ...]


class Facts(msgspec.Struct, frozen=True):
    """What was looked up beforehand, so that rules stay pure. Rules read nothing else but the request."""

    now: Instant
    profiles: dict[str, ProfileFacts]  # that the directory offers
    default_profile: str
    authorities: tuple[str, ...]  # that the directory offers, its default first
    challenges: tuple[str, ...]  # that the directory offers
    policy_names: tuple[str, ...] = ("*",)  # globs: the policies that this directory selects by name
    authority_ends: dict[str, Instant] = {}  # when the chain of an authority ends, where that is known
