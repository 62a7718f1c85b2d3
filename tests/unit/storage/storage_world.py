"""What the tests of the store write: small, valid rows."""

import base64
import itertools

import msgspec

from acme_ra.core.clock import DAY
from acme_ra.core.events import EventRecord
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Account, Binding, Challenge
from acme_ra.core.request import Workload
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.storage.contract import Store, Transaction

NOW = 1_800_000_000_000
SECRET = "s" * 16
CHALLENGES = msgspec.json.encode((Challenge("http-01"), Challenge("dns-01")))
_numbers = itertools.count(1)


def name_of(value: str) -> Identifier:
    return Identifier(IdentifierType.DNS, value)


def record(kind: str = "order.created", **more: object) -> EventRecord:
    fields = {"at": NOW, "kind": kind, "outcome": "", "body": b"{}"} | more
    return EventRecord(**fields)  # type: ignore[arg-type]


def ari_id(serial: str) -> str:
    raw = bytes.fromhex(serial.zfill(len(serial) + len(serial) % 2))
    return "a2V5." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def add_account(tx: Transaction, *, thumbprint: str = "", credential_id: int | None = None) -> Account:
    return tx.insert_account(
        secret=SECRET,
        directory="internal",
        thumbprint=thumbprint or f"thumbprint-{next(_numbers)}",
        jwk=b'{"kty":"EC"}',
        contacts=("mailto:a@example.test",),
        credential_id=credential_id,
        eab=None,
        now=NOW,
    )


def add_credential(tx: Transaction, kid: str = "kid-1", *, max_uses: int | None = None) -> int:
    binding = Binding(cluster="prod", namespaces=("demo",))
    return tx.insert_credential(
        kid=kid,
        name="demo",
        binding=msgspec.json.encode(binding),
        sealed_secret=b"sealed",
        now=NOW,
        expires_at=NOW + DAY,
        max_uses=max_uses,
    )


def add_order(
    tx: Transaction,
    *names: str,
    account_id: int = 1,
    status: OrderStatus = OrderStatus.PENDING,
    expires_at: int = NOW + DAY,
    namespace: str = "",
) -> int:
    """An order with an authorization for each name."""
    identifiers = tuple(name_of(name) for name in names or ("a.example.test",))
    order_id = tx.insert_order(
        secret=SECRET,
        directory="internal",
        account_id=account_id,
        status=status,
        identifiers=identifiers,
        not_before=None,
        not_after=None,
        profile="",
        replaces="",
        workload=msgspec.json.encode(Workload("credential", namespace=namespace)) if namespace else None,
        now=NOW,
        expires_at=expires_at,
    )
    rows = [
        add_authorization(
            tx, one.base, order_id=order_id, account_id=account_id, wildcard=one.wildcard, until=expires_at
        )
        for one in identifiers
    ]
    tx.set_authorizations(order_id, tuple(f"{row}.{SECRET}" for row in rows), status)
    return order_id


def add_authorization(
    tx: Transaction,
    name: str,
    *,
    order_id: int | None = None,
    account_id: int = 1,
    wildcard: bool = False,
    scope: str = "scope",
    status: AuthorizationStatus = AuthorizationStatus.PENDING,
    until: int = NOW + DAY,
) -> int:
    return tx.insert_authorization(
        secret=SECRET,
        account_id=account_id,
        order_id=order_id,
        identifier=name_of(name),
        wildcard=wildcard,
        subdomains=False,
        scope=scope,
        status=status,
        token="token",
        challenges=CHALLENGES,
        now=NOW,
        expires_at=until,
    )


def claim(tx: Transaction, order_id: int) -> None:
    tx.claim_order(order_id, csr_digest="c" * 64, key_fingerprint="f" * 64, approval=b"sealed approval", now=NOW)


def add_certificate(tx: Transaction, order_id: int, serial: str, *, not_after: int = NOW + 30 * DAY) -> int:
    return tx.insert_certificate(
        secret=SECRET,
        order_id=order_id,
        account_id=1,
        authority="local",
        serial=serial,
        ari_id=ari_id(serial),
        key_fingerprint="f" * 64,
        leaf=b"DER",
        chain_id="chain",
        not_before=NOW,
        not_after=not_after,
        now=NOW,
    )


def issue(
    tx: Transaction, serial: str, *names: str, namespace: str = "", not_after: int = NOW + 30 * DAY
) -> tuple[int, int]:
    """An order taken all the way; returns the order's and the certificate's row."""
    order_id = add_order(tx, *names, status=OrderStatus.READY, namespace=namespace)
    claim(tx, order_id)
    row = add_certificate(tx, order_id, serial, not_after=not_after)
    tx.complete_order(order_id, f"{row}.{SECRET}")
    return order_id, row


async def seqs(store: Store) -> list[int]:
    from acme_ra.storage.contract import EventFilter

    return [stored.seq async for stored in store.events(EventFilter())]
