"""Lists for people: the CLI's and the reports' side of storage, through SQLAlchemy over aiosqlite.

Every list goes by key: give the id of the last row seen as `after`, and get the next `limit`. Nothing is written here.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, TextClause, and_, event, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from acme_ra.core.clock import Instant
from acme_ra.core.identifiers import Identifier
from acme_ra.core.objects import Account, Certificate, Credential, Order, OrderApproval
from acme_ra.core.request import Workload
from acme_ra.core.status import OrderStatus
from acme_ra.storage import codecs
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.tables import accounts, approvals, certificates, credentials, name_refs, orders

_ACCOUNT = [accounts.c[name] for name in Account.__struct_fields__]
_PAGE = 1000
_CREDENTIAL = [credentials.c[name] for name in Credential.__struct_fields__]
_ORDER = [orders.c[name] for name in Order.__struct_fields__]
_APPROVAL = [approvals.c["approvers" if name == "group" else name] for name in OrderApproval.__struct_fields__]
_CERTIFICATE = [certificates.c[name] for name in Certificate.__struct_fields__]

#: Ids start at 1, so this is before the first row.
START = 0


class ReportedCertificate(msgspec.Struct, frozen=True):
    """A certificate with what its order says of it."""

    certificate: Certificate
    identifiers: tuple[Identifier, ...]
    workload: Workload | None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(identifier.value for identifier in self.identifiers)

    @property
    def namespace(self) -> str:
        return "" if self.workload is None else self.workload.namespace


class Reports:
    """One per command; `close` it."""

    def __init__(self, settings: StorageSettings) -> None:
        self._engine = _engine(settings)

    async def accounts(self, after: int = START, limit: int = 100) -> list[Account]:
        return [codecs.account(row) for row in await self._rows(accounts_page(after, limit))]

    async def account(self, row: int) -> Account | None:
        found = await self.accounts(row - 1, 1)
        return found[0] if found and found[0].id == row else None

    async def credentials(self, after: int = START, limit: int = 100) -> list[Credential]:
        return [codecs.credential(row) for row in await self._rows(credentials_page(after, limit))]

    async def all_credentials(self) -> list[Credential]:
        """Every one, the oldest first: there are as many as clusters and teams."""
        found: list[Credential] = []
        while page := await self.credentials(found[-1].id if found else START, _PAGE):
            found += page
        return found

    async def orders(
        self, after: int = START, limit: int = 100, status: OrderStatus | None = None, account_id: int | None = None
    ) -> list[Order]:
        pages = orders_pages(after, limit, status, account_id)
        found = [codecs.order(row) for page in pages for row in await self._rows(page)]
        return sorted(found, key=lambda order: order.id)[:limit]

    async def order(self, row: int) -> Order | None:
        found = await self.orders(row - 1, 1)
        return found[0] if found and found[0].id == row else None

    async def waiting_orders(
        self, after: int = START, limit: int = 100
    ) -> list[tuple[Order, tuple[OrderApproval, ...]]]:
        """Orders that wait for the approval of people, each with all that it needs."""
        found = []
        for (row,) in await self._rows(waiting_page(after, limit)):
            order = await self.order(row)
            if order is not None:
                found.append((order, await self.approvals(row)))
        return found

    async def approvals(self, order_id: int) -> tuple[OrderApproval, ...]:
        return tuple(codecs.approval(row) for row in await self._rows(approvals_of(order_id)))

    async def certificates(
        self,
        after: int = START,
        limit: int = 100,
        name: str | None = None,
        serial: str | None = None,
        expiring_before: Instant | None = None,
        revoked: bool | None = None,
        *,
        expiring_since: Instant | None = None,
        namespace: str | None = None,
    ) -> list[ReportedCertificate]:
        """Every condition narrows. With a time of expiry or a namespace the list goes by notAfter, else by id."""
        page = certificates_page(
            after,
            limit,
            name=name,
            serial=serial,
            expiring_since=expiring_since,
            expiring_before=expiring_before,
            revoked=revoked,
            namespace=namespace,
        )
        return [_reported(row) for row in await self._rows(page)]

    async def certificate(self, row: int) -> ReportedCertificate | None:
        found = await self.certificates(row - 1, 1)
        return found[0] if found and found[0].certificate.id == row else None

    async def close(self) -> None:
        await self._engine.dispose()

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        async with self._engine.connect() as connection:
            result = await connection.execute(statement)
            rows: Sequence[Row[Any]] = result.all()
            return rows


def _engine(settings: StorageSettings) -> AsyncEngine:
    address = f"sqlite+aiosqlite:///{settings.path.absolute().as_uri()}?mode=rw&uri=true"
    engine = create_async_engine(address, connect_args={"timeout": settings.busy_timeout / 1000})

    @event.listens_for(engine.sync_engine, "connect")
    def only_read(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    return engine


def accounts_page(after: int, limit: int) -> Select[Any]:
    return select(*_ACCOUNT).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)


def credentials_page(after: int, limit: int) -> Select[Any]:
    return select(*_CREDENTIAL).where(credentials.c.id > after).order_by(credentials.c.id).limit(limit)


def orders_pages(after: int, limit: int, status: OrderStatus | None, account_id: int | None) -> list[Select[Any]]:
    """One page, or for an account one for each phase: the index has a range of its own for each."""
    page = select(*_ORDER).where(orders.c.id > after).order_by(orders.c.id).limit(limit)
    if status is not None:
        page = page.where(orders.c.status == status.value)
    if account_id is None:
        return [page]
    return [page.where(orders.c.account_id == account_id, orders.c.phase == phase) for phase in _phases(status)]


def waiting_page(after: int, limit: int) -> Select[Any]:
    """Row ids. The condition is literal, so that SQLite knows that the partial index serves."""
    row = approvals.c.order_id
    return select(row).where(row > after, text("status = 'waiting'")).group_by(row).order_by(row).limit(limit)


def approvals_of(order_id: int) -> Select[Any]:
    return select(*_APPROVAL).where(approvals.c.order_id == order_id).order_by(approvals.c.policy)


def _phases(status: OrderStatus | None) -> tuple[int, ...]:
    if status is None:
        return (0, 1, 2)
    return {OrderStatus.VALID: (1,), OrderStatus.INVALID: (2,)}.get(status, (0,))


def certificates_page(
    after: int,
    limit: int,
    *,
    name: str | None = None,
    serial: str | None = None,
    expiring_since: Instant | None = None,
    expiring_before: Instant | None = None,
    revoked: bool | None = None,
    namespace: str | None = None,
) -> Select[Any]:
    """Read along the index of the first condition given; the others narrow.

    Names and times of expiry have an order of their own, so `after` is looked up in it.
    """
    last = select(certificates.c.order_id, certificates.c.not_after).where(certificates.c.id == after).subquery()
    page = select(*_CERTIFICATE, orders.c.identifiers, orders.c.workload).limit(limit)
    joined = certificates.join(orders, orders.c.id == certificates.c.order_id)
    conditions: list[ColumnElement[bool] | TextClause] = []
    if name is not None:
        # `ref` is an order's id where it is positive; each order has at most one certificate, so it is the key.
        position = func.coalesce(select(last.c.order_id).scalar_subquery(), 0)
        joined = name_refs.join(certificates, certificates.c.order_id == name_refs.c.ref).join(
            orders, orders.c.id == certificates.c.order_id
        )
        conditions += [name_refs.c.name_hash == codecs.hash63(name), name_refs.c.ref > position, _asks_for(name)]
        page = page.order_by(name_refs.c.ref)
    elif serial is None and not (expiring_since is None and expiring_before is None and namespace is None):
        if after > START:
            place = tuple_(select(last.c.not_after).scalar_subquery(), literal(after))
            conditions.append(tuple_(certificates.c.not_after, certificates.c.id) > place)
        page = page.order_by(certificates.c.not_after, certificates.c.id)
    else:
        conditions.append(certificates.c.id > after)
        page = page.order_by(certificates.c.id)
    if serial is not None:
        conditions += [certificates.c.serial_hash == codecs.hash63(serial), certificates.c.serial == serial]
    if namespace is not None:
        # The second is what makes the partial index usable.
        conditions += [certificates.c.namespace == namespace, text("certificates.namespace <> ''")]
    if expiring_since is not None:
        conditions.append(certificates.c.not_after >= expiring_since)
    if expiring_before is not None:
        conditions.append(certificates.c.not_after < expiring_before)
    if revoked is not None:
        conditions.append(certificates.c.revoked_at.is_not(None) if revoked else certificates.c.revoked_at.is_(None))
    return page.select_from(joined).where(and_(*conditions))


def _asks_for(name: str) -> ColumnElement[bool]:
    """The order asks for exactly this name: hashes may collide, and JSON texts in a list are quoted."""
    quoted = f'"value":{codecs.to_json(name)}}}'
    return func.instr(orders.c.identifiers, quoted) > 0


def _reported(row: Row[Any]) -> ReportedCertificate:
    width = len(_CERTIFICATE)
    identifiers, workload = row[width], row[width + 1]
    return ReportedCertificate(
        codecs.certificate(row[:width]), codecs.identifiers(identifiers), codecs.workload(workload)
    )
