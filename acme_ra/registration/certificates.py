"""Certificates and their chains (RFC 8555 §7.4.2)."""

from acme_ra.core.objects import Certificate, ResourceId
from acme_ra.core.problems import NotFound, ServerInternal
from acme_ra.registration.accounts import Requester
from acme_ra.storage.contract import Store


class Certificates:
    def __init__(self, *, store: Store) -> None:
        self._store = store
        self._chains: dict[str, tuple[bytes, ...]] = {}  # a handful: one entry per issuing certificate

    async def fetch(self, requester: Requester, unverified_id: str) -> tuple[Certificate, tuple[bytes, ...]]:
        """The account's certificate, and the PEM chains above it, default first. Raises NotFound."""
        wanted = ResourceId.parse(unverified_id)
        certificate = await self._store.certificate(wanted.row)
        if certificate is None:
            raise NotFound("there is no such certificate")
        wanted.check(certificate.secret)
        requester.check_owns(certificate.account_id)
        order = None if certificate.ari_id else await self._store.order(certificate.order_id)
        if order is not None and order.certificate != certificate.resource_id:
            raise NotFound("there is no such certificate")  # withheld: it differed from its approval
        chains = self._chains.get(certificate.chain_id)
        if chains is None:
            chains = await self._store.chain(certificate.chain_id)
            if not chains:
                raise ServerInternal(f"chain {certificate.chain_id} is not stored")
            self._chains[certificate.chain_id] = chains
        return certificate, chains
