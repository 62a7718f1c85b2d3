"""A registration authority in process: the real store, policy engine and local authority; validation is scripted.

Tests drive it as the acme edge would, without sockets. `ra.kinds()` is the audit log, in order.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.attribution.contract import AttributionQuery, AttributionSource, StillSource
from acme_ra.attribution.service import Attribution
from acme_ra.attribution.sources.credential import CredentialSource
from acme_ra.core.approval import Approval
from acme_ra.core.clock import Instant
from acme_ra.core.credential_seal import CredentialRights, seal_credential
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Binding, Order
from acme_ra.core.problems import Problem
from acme_ra.core.refusals import RefusalNotice
from acme_ra.core.request import Workload
from acme_ra.core.sealing import Sealer
from acme_ra.core.urls import Urls
from acme_ra.issuance.contract import Authority, IssuedChain
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.policy.documents import load_policies
from acme_ra.policy.engine import PolicyEngine
from acme_ra.registration.accounts import Accounts, Requester
from acme_ra.registration.approvals import Approvals, ApprovalSeal
from acme_ra.registration.approving import Approvers
from acme_ra.registration.authorizations import Authorizations
from acme_ra.registration.certificates import Certificates
from acme_ra.registration.deciding import Decider
from acme_ra.registration.directories import Directory
from acme_ra.registration.finalize import Finalizer
from acme_ra.registration.orders import NewOrder, Orders
from acme_ra.registration.planning import Planner
from acme_ra.registration.renewal_info import RenewalInfo
from acme_ra.registration.revocation import Revocation
from acme_ra.registration.settings import DirectorySettings, OrderSettings
from acme_ra.registration.signing import Signing
from acme_ra.registration.validations import Validations
from acme_ra.registration.worker import Worker
from acme_ra.storage.contract import EventFilter, Store
from acme_ra.validation.contract import ValidationTarget
from tests.support.keys import account_key_of
from tests.support.local_authority import make_issuance

MASTER_KEY = b"m" * 32
POLICIES = """
kind: ClusterIssuancePolicy
metadata: {name: shop-internal}
spec:
  effect: grant
  selector: {namespaces: {matchNames: [shop]}}
  allowed:
    dnsNames: ["{namespace}.svc", "*.{namespace}.svc"]
    wildcards: true
    usages: [server auth]
  require: {challenges: none}
  authority: intermediate
  profile: default
---
kind: ClusterIssuancePolicy
metadata: {name: public-names}
spec:
  effect: grant
  allowed:
    dnsNames: ["**.example.test"]
    wildcards: true
    ipAddresses: ["192.0.2.0/24"]
    usages: [server auth]
  require: {challenges: [http-01, dns-01]}
  authority: intermediate
  profile: default
"""


#: Who may approve, in tests.
APPROVERS = {"security": ["anna", "ben"], "shop-leads": ["cara", "anna"]}


class FakeClock:
    """A clock that tests move."""

    def __init__(self, now: Instant) -> None:
        self.instant = now

    def now(self) -> Instant:
        return self.instant

    def advance(self, milliseconds: int) -> None:
        self.instant += milliseconds


class ScriptedValidation:
    """The validation authority's contract: outcomes by name, success unless scripted; every call is recorded."""

    def __init__(self) -> None:
        self.outcomes: dict[str, deque[Problem | None]] = {}
        self.calls: list[tuple[str, str]] = []
        self.caa_calls: list[tuple[Identifier, ...]] = []
        self.caa_problem: Problem | None = None

    types = ("http-01", "dns-01", "tls-alpn-01")

    def usable(self, identifier: Identifier, *, wildcard: bool, allowed: tuple[str, ...]) -> tuple[str, ...]:
        if identifier.type == IdentifierType.IP:
            return tuple(kind for kind in allowed if kind != "dns-01")
        return tuple(kind for kind in allowed if not wildcard or kind == "dns-01")

    async def validate(self, challenge_type: str, target: ValidationTarget) -> None:
        self.calls.append((challenge_type, target.identifier.value))
        script = self.outcomes.get(target.identifier.value)
        problem = script.popleft() if script else None
        if problem is not None:
            raise problem

    async def check_caa(self, identifiers: tuple[Identifier, ...], **_: object) -> None:
        self.caa_calls.append(identifiers)
        if self.caa_problem is not None:
            raise self.caa_problem

    async def close(self) -> None:
        return None


class RecordingAuthority:
    """The local authority, with every approval that reached it; `failures` are raised before it is asked."""

    def __init__(self, inner: Authority) -> None:
        self.inner = inner
        self.name = inner.name
        self.calls: list[Approval] = []
        self.failures: deque[Exception] = deque()

    async def issue(self, approval: Approval) -> IssuedChain:
        self.calls.append(approval)
        if self.failures:
            raise self.failures.popleft()
        return await self.inner.issue(approval)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


class FakeSource(StillSource):
    """An attribution source that knows the workload only once there is an order, as a cluster does."""

    name = "fake"

    def __init__(self) -> None:
        self.workloads: tuple[Workload, ...] | None = None
        self.carried: dict[str, str] | Problem = {}
        self.route_queries: list[tuple[str, tuple[str, ...]]] = []

    def concerns(self, query: AttributionQuery) -> bool:
        return query.credential is not None

    async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
        return None if query.order is None else self.workloads

    async def routes(self, workload: Workload, identifiers: tuple[Identifier, ...]) -> dict[str, str]:
        self.route_queries.append((workload.namespace, tuple(one.value for one in identifiers)))
        if isinstance(self.carried, Problem):
            raise self.carried
        return {one.value: self.carried[one.value] for one in identifiers if one.value in self.carried}


class RecordedRefusals:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notices: list[RefusalNotice] = []

    def refused(self, notice: RefusalNotice) -> None:
        self.notices.append(notice)


@dataclass
class RA:
    """The parts, and short ways to use them."""

    clock: FakeClock
    store: Store
    validation: ScriptedValidation
    authority: RecordingAuthority
    issuance: CertificateAuthority
    policy: PolicyEngine
    directories: dict[str, Directory]
    accounts: Accounts
    orders: Orders
    authorizations: Authorizations
    validations: Validations
    finalizer: Finalizer
    certificates: Certificates
    revocation: Revocation
    renewal_info: RenewalInfo
    worker: Worker
    approvers: Approvers
    sealer: Sealer
    policy_file: Path
    urls: Urls
    refusals: RecordedRefusals
    keys: dict[int, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    async def requester(
        self, *namespaces: str, directory: str = "default", cluster: str = "prod", max_uses: int | None = None
    ) -> Requester:
        """A new account with a new credential bound to these namespaces."""
        kid = secrets.token_hex(8)
        binding = Binding(cluster=cluster, namespaces=namespaces)
        rights = CredentialRights(kid, kid, binding, None, max_uses)
        sealed = seal_credential(self.sealer, b"k" * 32, rights)
        await self.store.transact(
            lambda tx: tx.insert_credential(
                kid=kid,
                name=kid,
                binding=msgspec.json.encode(binding),
                sealed_secret=sealed,
                now=self.clock.now(),
                expires_at=None,
                max_uses=max_uses,
            )
        )
        return await self.register(kid, directory=directory)

    async def register(self, kid: str, *, directory: str = "default") -> Requester:
        where = self.directories[directory]
        credential, _ = await self.accounts.eab_secret(where, kid)
        account, _ = await self.accounts.register(
            where,
            account_key_of(ec.generate_private_key(ec.SECP256R1())),
            contacts=(),
            terms_agreed=True,
            credential=credential,
            eab=b"{}",
        )
        return await self.accounts.authenticate(where, account.resource_id)

    async def order(self, requester: Requester, *names: str, **more: object) -> Order:
        identifiers = tuple(("ip" if _is_address(name) else "dns", name) for name in names)
        return await self.orders.create(requester, NewOrder(identifiers=identifiers, **more))  # type: ignore[arg-type]

    async def prove(self, requester: Requester, order: Order) -> Order:
        """Answer the first challenge of each pending authorization."""
        for resource_id in order.authorizations:
            authorization = await self.authorizations.fetch(requester, resource_id)
            if authorization.challenges and authorization.status == "pending":
                await self.authorizations.respond(requester, resource_id, authorization.challenges[0].type)
        return await self.orders.fetch(requester, order.resource_id)

    async def ready_order(self, requester: Requester, *names: str, **more: object) -> Order:
        order = await self.prove(requester, await self.order(requester, *names, **more))
        assert order.status == "ready", order
        return order

    async def finalize(self, requester: Requester, order: Order, csr: bytes | None = None) -> Order:
        return await self.finalizer.finalize(requester, order.resource_id, csr or self.csr(order))

    def csr(self, order: Order) -> bytes:
        """A CSR for the order's names; the same key for the same order."""
        key = self.keys.setdefault(order.id, ec.generate_private_key(ec.SECP256R1()))
        return make_csr(key, *(identifier.value for identifier in order.identifiers))

    async def kinds(self) -> list[str]:
        return [event.record.kind async for event in self.store.events(EventFilter())]

    def change_policy(self, text: str) -> None:
        self.policy_file.write_text(text)
        self.policy.replace(load_policies(self.policy_file))


def make_csr(key: ec.EllipticCurvePrivateKey, *names: str) -> bytes:
    general: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name) for name in names
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def make_ra(
    path: Path,
    store: Store,
    clock: FakeClock,
    *,
    policies: str = POLICIES,
    source: AttributionSource | None = None,
    caa: str = "off",
    **limits: int,
) -> RA:
    """Put the parts together as the composition root does."""
    sealer = Sealer(MASTER_KEY)
    policy_file = path / "policies.yaml"
    policy_file.write_text(policies)
    policy = PolicyEngine(load_policies(policy_file), approval_key=sealer.derive("approvals"))
    issuance, authority = make_issuance(path, clock, RecordingAuthority)
    settings = OrderSettings(validation_backoff=10, inline_validation=60_000, validation_attempts=3, **limits)
    shared = DirectorySettings(authorities=["intermediate"], profiles={"default": "plain", "short": "short"})
    directories = {
        name: Directory(
            name,
            shared.model_copy(update=update),
            profiles=issuance.profile_facts,
            authority_ends=issuance.authority_ends,
        )
        for name, update in (
            ("default", {"caa": caa, "caa_identities": ["ca.test"]}),
            ("open", {"external_account_required": False}),
        )
    }
    validation = ScriptedValidation()
    urls = Urls("https://ra.test")
    sources = {"credential": CredentialSource()} if source is None else {source.name: source}
    seal = ApprovalSeal(sealer.derive("order-approval"))
    approvals = Approvals(store=store, clock=clock, seal=seal, timeout=settings.approval_timeout)
    refusals = RecordedRefusals()
    decider = Decider(
        attribution=Attribution(sources),
        policy=policy,
        approvals=approvals,
        urls=urls,
        clock=clock,
        refusals=refusals,
    )
    planner = Planner(store=store, clock=clock, validation=validation, settings=settings)  # type: ignore[arg-type]
    validations = Validations(store=store, clock=clock, validation=validation, settings=settings)  # type: ignore[arg-type]
    signing = Signing(store=store, clock=clock, issuance=issuance)
    return RA(
        clock=clock,
        store=store,
        validation=validation,
        authority=authority,
        issuance=issuance,
        policy=policy,
        directories=directories,
        accounts=Accounts(store=store, clock=clock, sealer=sealer),
        orders=Orders(store=store, clock=clock, decider=decider, planner=planner, settings=settings),
        authorizations=Authorizations(
            store=store, clock=clock, decider=decider, planner=planner, validations=validations, settings=settings
        ),
        validations=validations,
        finalizer=Finalizer(
            store=store,
            clock=clock,
            decider=decider,
            validation=validation,
            signing=signing,
            urls=urls,  # type: ignore[arg-type]
        ),
        certificates=Certificates(store=store),
        revocation=Revocation(store=store, clock=clock, issuance=issuance),
        renewal_info=RenewalInfo(store=store, clock=clock, settings=settings),
        worker=Worker(
            store=store,
            clock=clock,
            policy=policy,
            signing=signing,
            validations=validations,
            directories=directories,
            settings=settings,
        ),
        approvers=Approvers(store=store, clock=clock, seal=seal, groups=APPROVERS),
        sealer=sealer,
        policy_file=policy_file,
        urls=urls,
        refusals=refusals,
    )
