"""The composition root: the only file that knows every package. It checks a configuration and composes a server."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from acme_ra.acme.application import Edge, build_app
from acme_ra.acme.nonces import open_nonces
from acme_ra.acme.site import RequestObserver
from acme_ra.attribution.registry import all_sources
from acme_ra.attribution.service import Attribution
from acme_ra.attribution.sources.kubernetes.events import RefusalEvents
from acme_ra.config import Configuration, ConfigurationInvalid, Mistake, load_configuration
from acme_ra.config.secrets import KeyFileUnusable, read_key_file
from acme_ra.core.clock import Clock, SystemClock
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.core.sealing import Sealer
from acme_ra.core.urls import Urls
from acme_ra.epoch import next_epoch
from acme_ra.issuance.issuer import AuthorityMisconfigured
from acme_ra.issuance.lint import Linter
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.registry import open_authorities
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.kubernetes.clusters import Clusters, open_clusters
from acme_ra.kubernetes.connection import open_connection
from acme_ra.kubernetes.errors import ClusterMisconfigured
from acme_ra.listener import TLSUnusable, server_context
from acme_ra.policy.compiled import PolicySet
from acme_ra.policy.documents import load_policies
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy.errors import PolicyErrors, PolicyMistake
from acme_ra.policy.references import References, unresolved
from acme_ra.policy_resources.keeper import Listener, PolicyKeeper
from acme_ra.policy_resources.record import AuditRecorder
from acme_ra.policy_resources.status import StatusWriter
from acme_ra.policy_resources.watch import ClusterWatch
from acme_ra.registration.accounts import Accounts
from acme_ra.registration.approvals import Approvals, ApprovalSeal
from acme_ra.registration.authority import RegistrationAuthority
from acme_ra.registration.authorizations import Authorizations
from acme_ra.registration.certificates import Certificates
from acme_ra.registration.deciding import Decider
from acme_ra.registration.directories import Directory
from acme_ra.registration.finalize import Finalizer
from acme_ra.registration.orders import Orders
from acme_ra.registration.planning import Planner
from acme_ra.registration.refusals import RefusalListener
from acme_ra.registration.renewal_info import RenewalInfo
from acme_ra.registration.revocation import Revocation
from acme_ra.registration.signing import Signing
from acme_ra.registration.validations import Validations
from acme_ra.registration.worker import Worker
from acme_ra.storage.contract import Store, StoreUnavailable
from acme_ra.storage.store import open_store
from acme_ra.validation.service import ValidationAuthority


@dataclass(kw_only=True)
class Shared:
    """What the master made, and every worker uses. `policies` and `tls` change at a reload."""

    configuration: Configuration
    master_key: bytes
    policies: PolicySet
    reserved: socket.socket
    tls: ssl.SSLContext
    external_url: str
    folder: Path  # private to this start: sockets between workers, counters


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a worker runs and reloads."""

    application: Edge
    policies: PolicyKeeper
    background: Worker


async def compose(shared: Shared, node: int, *, stack: AsyncExitStack, observe: RequestObserver | None) -> Parts:
    """Build one worker's server, from storage up to the edge. `stack` closes what was opened, the last first."""
    configuration, clock = shared.configuration, SystemClock()
    sealer = Sealer(shared.master_key)
    store = await open_store(configuration.storage, clock=clock)
    stack.push_async_callback(store.close)
    issuance = _issuance(configuration, Urls(shared.external_url))
    stack.push_async_callback(issuance.close)
    await issuance.start()
    validation = ValidationAuthority(configuration.validation)
    stack.push_async_callback(validation.close)
    clusters = open_clusters(configuration.clusters, os.environ)
    stack.push_async_callback(clusters.close)
    attribution = Attribution(all_sources(clusters))
    stack.push_async_callback(attribution.close)
    await attribution.start()
    refusals = RefusalEvents(clusters, clock)
    stack.push_async_callback(refusals.close)
    await refusals.start()
    builder = _Builder(
        configuration=configuration,
        store=store,
        clock=clock,
        urls=Urls(shared.external_url),
        sealer=sealer,
        issuance=issuance,
        validation=validation,
        attribution=attribution,
        refusals=refusals,
        policy=PolicyEngine(shared.policies, approval_key=sealer.derive("approval")),
    )
    stack.push_async_callback(builder.validations.close)
    epoch = next_epoch(configuration.storage.path.with_name("epoch"), clock)
    nonces = await open_nonces(key=sealer.derive("nonce"), node=node, epoch=epoch, socket_dir=shared.folder)
    stack.push_async_callback(nonces.close)
    application = build_app(
        builder.registration(),
        nonces=nonces,
        settings=configuration.acme,
        observe=observe,
        ready=lambda: _check_store(store),
    )
    policies = await _keep_policies(shared, builder, clusters, stack, tells=node == 0)
    return Parts(application=application, policies=policies, background=builder.background())


async def _keep_policies(
    shared: Shared, builder: "_Builder", clusters: Clusters, stack: AsyncExitStack, *, tells: bool
) -> PolicyKeeper:
    """Every worker reads policies for itself; the one that `tells` writes statuses and audit events."""
    watches = {name: ClusterWatch(one) for name, one in clusters.items() if one.settings.policies != "none"}
    listeners: list[Listener] = []
    if tells:
        listeners.append(AuditRecorder(builder.store, builder.clock).record)
        if watches:
            statuses = StatusWriter(clusters, builder.clock)
            statuses.start()
            stack.push_async_callback(statuses.close)
            listeners.append(statuses.tell)
    keeper = PolicyKeeper(
        builder.policy,
        files=shared.policies,
        watches=watches,
        known=references(builder.configuration),
        listeners=listeners,
    )
    stack.push_async_callback(keeper.close)
    await keeper.start()
    return keeper


async def _check_store(store: Store) -> None:
    """Whether the database answers. Raises ServiceUnavailable."""
    try:
        await store.certificate(0)
    except StoreUnavailable as error:
        raise ServiceUnavailable("the database does not answer") from error


@dataclass(frozen=True, kw_only=True)
class _Builder:
    """The registration authority of one worker, from the services that it stands on."""

    configuration: Configuration
    store: Store
    clock: Clock
    urls: Urls
    sealer: Sealer
    issuance: CertificateAuthority
    validation: ValidationAuthority
    attribution: Attribution
    refusals: RefusalListener
    policy: PolicyEngine

    @cached_property
    def directories(self) -> dict[str, Directory]:
        networks = tuple(self.configuration.validation.allowed_networks)
        return {
            name: Directory(
                name,
                settings,
                profiles=self.issuance.profile_facts,
                authority_ends=self.issuance.authority_ends,
                allowed_networks=networks,
            )
            for name, settings in self.configuration.directories.items()
        }

    @cached_property
    def decider(self) -> Decider:
        timeout = self.configuration.orders.approval_timeout
        approvals = Approvals(store=self.store, clock=self.clock, seal=approval_seal(self.sealer), timeout=timeout)
        return Decider(
            attribution=self.attribution,
            policy=self.policy,
            approvals=approvals,
            urls=self.urls,
            clock=self.clock,
            refusals=self.refusals,
        )

    @cached_property
    def validations(self) -> Validations:
        settings = self.configuration.orders
        return Validations(store=self.store, clock=self.clock, validation=self.validation, settings=settings)

    @cached_property
    def signing(self) -> Signing:
        return Signing(store=self.store, clock=self.clock, issuance=self.issuance)

    def registration(self) -> RegistrationAuthority:
        store, clock, settings = self.store, self.clock, self.configuration.orders
        decider = self.decider
        planner = Planner(store=store, clock=clock, validation=self.validation, settings=settings)
        return RegistrationAuthority(
            directories=self.directories,
            accounts=Accounts(store=store, clock=clock, sealer=self.sealer),
            orders=Orders(store=store, clock=clock, decider=decider, planner=planner, settings=settings),
            authorizations=Authorizations(
                store=store,
                clock=clock,
                decider=decider,
                planner=planner,
                validations=self.validations,
                settings=settings,
            ),
            finalizer=Finalizer(
                store=store,
                clock=clock,
                decider=decider,
                validation=self.validation,
                signing=self.signing,
                urls=self.urls,
            ),
            certificates=Certificates(store=store),
            revocation=Revocation(store=store, clock=clock, issuance=self.issuance),
            renewal_info=RenewalInfo(store=store, clock=clock, settings=settings),
            urls=self.urls,
            clock=clock,
        )

    def background(self) -> Worker:
        return Worker(
            store=self.store,
            clock=self.clock,
            policy=self.policy,
            signing=self.signing,
            validations=self.validations,
            directories=self.directories,
            settings=self.configuration.orders,
        )


def _issuance(configuration: Configuration, urls: Urls) -> CertificateAuthority:
    """Raises AuthorityMisconfigured."""
    profiles = {name: Profile(name, settings) for name, settings in configuration.profiles.items()}
    authorities = open_authorities(configuration.authorities, profiles=profiles, urls=urls)
    return CertificateAuthority(authorities=authorities, profiles=profiles, linter=Linter())


# ---------------------------------------------------------------------------------------------------------- checking


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a server needs and was found in order."""

    master_key: bytes
    policies: PolicySet


def preflight(configuration: Configuration) -> Checked:
    """Look at everything that can be wrong before anything is served.

    Raises KeyFileUnusable, PolicyErrors, AuthorityMisconfigured, ClusterMisconfigured, SchemaMismatch.
    """
    master_key = read_key_file(configuration.secrets.key_file)
    policies = read_policies(configuration)
    _issuance(configuration, Urls("https://preflight.invalid"))
    open_clusters(configuration.clusters, os.environ)
    check_database(configuration)
    return Checked(master_key=master_key, policies=policies)


def read_policies(configuration: Configuration) -> PolicySet:
    """The policy set; what it names must be there. Raises PolicyErrors."""
    path = configuration.policies.path
    policies = load_policies(path)
    known = references(configuration)
    mistakes = [
        PolicyMistake(str(path), 0, f"{policy.name}.{one.key}", one.message, one.fix)
        for policy in policies.policies
        for one in unresolved(policy, known)
    ]
    if mistakes:
        raise PolicyErrors(mistakes)
    return policies


def references(configuration: Configuration) -> References:
    """What policies may name."""
    return References(tuple(configuration.authorities), tuple(configuration.profiles), tuple(configuration.approvers))


def approval_seal(sealer: Sealer) -> ApprovalSeal:
    """What seals the approvals of people: the same in every worker and in the operators' commands."""
    return ApprovalSeal(sealer.derive("order-approval"))


def check_database(configuration: Configuration) -> None:
    """Raises SchemaMismatch with the command that mends it, or StoreUnavailable."""

    async def look() -> None:
        store = await open_store(configuration.storage, clock=SystemClock())
        await store.close()

    asyncio.run(look())


def configuration_mistakes(path: Path) -> list[Mistake]:
    """Every mistake in a configuration file and in the files that it names; empty when a server could start."""
    try:
        configuration = load_configuration(path, os.environ)
    except ConfigurationInvalid as error:
        return error.mistakes
    return [*_policy_mistakes(configuration), *_file_mistakes(configuration, path)]


def _policy_mistakes(configuration: Configuration) -> list[Mistake]:
    try:
        read_policies(configuration)
    except PolicyErrors as error:
        return [Mistake(one.file, one.line, one.key, one.message, one.fix) for one in error.mistakes]
    return []


def _file_mistakes(configuration: Configuration, path: Path) -> list[Mistake]:
    """Keys and certificates. Their messages name the file and the fix."""
    mistakes = []
    tls = configuration.server.tls
    checks: list[tuple[str, Callable[[], object]]] = [
        ("secrets.key_file", lambda: read_key_file(configuration.secrets.key_file)),
        ("server.tls", lambda: server_context(tls.certificate, tls.key)),
        ("authorities", lambda: _issuance(configuration, Urls("https://preflight.invalid"))),
    ]
    for name, cluster in configuration.clusters.items():
        checks.append((f"clusters.{name}", partial(open_connection, cluster, os.environ)))
    for key, check in checks:
        try:
            check()
        except (KeyFileUnusable, TLSUnusable, AuthorityMisconfigured, ClusterMisconfigured) as error:
            what, _, fix = str(error).partition("; ")
            mistakes.append(Mistake(str(path), 0, key, what, fix or "correct the file"))
    return mistakes
