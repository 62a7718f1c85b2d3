"""Making and changing credentials: one transaction each, with its audit event. Used by commands and by quickstart."""

import secrets

import msgspec

from acme_ra.audit import events
from acme_ra.audit.events import Subject
from acme_ra.core.clock import Clock, Instant
from acme_ra.core.credential_seal import CredentialRights, open_credential, seal_credential
from acme_ra.core.encoding import b64url, canonical_json
from acme_ra.core.objects import Binding, Credential
from acme_ra.core.sealing import Sealer
from acme_ra.storage.contract import Store, Transaction

_SECRET_BYTES = 32  # HS256; some clients choose the algorithm by the length


class NewCredential(msgspec.Struct, frozen=True):
    """What a credential is to be. `max_uses` counts accounts; None is any number."""

    name: str
    binding: Binding
    expires_at: Instant | None
    max_uses: int | None


class Secret(msgspec.Struct, frozen=True):
    """What the client gets, once. `hmac_key` is unpadded base64url, which is what cert-manager wants."""

    kid: str
    hmac_key: str
    sealed: bytes


def make_secret(rights: CredentialRights, sealer: Sealer) -> Secret:
    """A random secret, and how the database keeps it: sealed together with what it is for."""
    raw = secrets.token_bytes(_SECRET_BYTES)
    while b64url(raw).startswith("-"):  # a client's command line would take it for an option
        raw = secrets.token_bytes(_SECRET_BYTES)
    return Secret(rights.kid, b64url(raw), seal_credential(sealer, raw, rights))


async def create(store: Store, sealer: Sealer, clock: Clock, new: NewCredential) -> Secret:
    """Insert the credential. Raises StoreUnavailable."""
    rights = CredentialRights(secrets.token_hex(10), new.name, new.binding, new.expires_at, new.max_uses)
    secret = make_secret(rights, sealer)
    now = clock.now()
    event = events.CredentialCreated(
        credential=secret.kid,
        name=new.name,
        cluster=new.binding.cluster,
        namespaces=new.binding.namespaces,
        labels=new.binding.labels,
        directories=new.binding.directories,
        expires_at=new.expires_at,
        max_uses=new.max_uses,
    )

    def work(tx: Transaction) -> None:
        tx.insert_credential(
            kid=secret.kid,
            name=new.name,
            binding=canonical_json(msgspec.to_builtins(new.binding)),
            sealed_secret=secret.sealed,
            now=now,
            expires_at=new.expires_at,
            max_uses=new.max_uses,
        )
        tx.append_event(event.record(now, _subject(new.binding)))

    await store.transact(work)
    return secret


async def disable(store: Store, clock: Clock, kid: str, binding: Binding) -> None:
    """Raises Conflict when it is disabled already."""
    now = clock.now()

    def work(tx: Transaction) -> None:
        tx.disable_credential(kid, now=now)
        tx.append_event(events.CredentialDisabled(credential=kid).record(now, _subject(binding)))

    await store.transact(work)


async def rotate(store: Store, sealer: Sealer, clock: Clock, credential: Credential) -> Secret:
    """A new secret for the same credential. Raises Conflict when it is disabled.

    SealBroken when it is not what it was made as: a new seal would make good what somebody wrote into the database.
    """
    open_credential(sealer, credential)
    secret = make_secret(CredentialRights.of(credential), sealer)
    now = clock.now()

    def work(tx: Transaction) -> None:
        tx.rotate_credential(secret.kid, sealed_secret=secret.sealed, now=now)
        tx.append_event(events.CredentialRotated(credential=secret.kid).record(now, _subject(credential.binding)))

    await store.transact(work)
    return secret


def _subject(binding: Binding) -> Subject:
    """Found by its namespace where it has exactly one."""
    return Subject(namespace=binding.namespaces[0] if len(binding.namespaces) == 1 else "")
