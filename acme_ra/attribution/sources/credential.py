"""Attribution by the external account credential (RFC 8555 §7.3.4): what its binding says, and nothing more."""

import re

from acme_ra.attribution.contract import AttributionQuery, StillSource
from acme_ra.attribution.credentials import check_credential, evidence_of
from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import Unauthorized
from acme_ra.core.request import Workload

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class CredentialSource(StillSource):
    """The operator bound the credential to a cluster and namespaces when it was made."""

    name = "credential"

    def concerns(self, query: AttributionQuery) -> bool:
        return query.credential is not None

    async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
        """One workload for each namespace that the binding names.

        A glob such as `team-*` is a limit and names no namespace: with globs alone the namespace stays unknown.
        """
        credential = query.credential
        if credential is None:
            raise Unauthorized("this account has no external account credential; register with one")
        check_credential(credential, query.directory)
        binding = credential.binding
        namespaces = tuple(dict.fromkeys(one for one in binding.namespaces if _NAMESPACE.match(one)))
        evidence = evidence_of(credential)
        return tuple(
            Workload(
                source=self.name,
                cluster=binding.cluster,
                namespace=namespace,
                labels=dict(binding.labels),
                evidence=evidence,
            )
            for namespace in namespaces or ("",)
        )

    async def routes(self, workload: Workload, identifiers: tuple[Identifier, ...]) -> dict[str, str]:
        """A binding knows of no Ingress, Gateway or route, so it shows none."""
        return {}
