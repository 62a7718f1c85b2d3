"""Attribution by the external account credential (RFC 8555 §7.3.4): what its binding says, and nothing more."""

import re

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.core.identifiers import Identifier
from acme_ra.core.objects import Credential
from acme_ra.core.problems import Unauthorized
from acme_ra.core.request import Workload

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class CredentialSource:
    """The operator bound the credential to a cluster and namespaces when it was made."""

    name = "credential"

    async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
        """One workload for each namespace that the binding names.

        A glob such as `team-*` is a limit and names no namespace: with globs alone the namespace stays unknown.
        """
        credential = query.credential
        if credential is None:
            raise Unauthorized("this account has no external account credential; register with one")
        self._check(credential, query.directory)
        binding = credential.binding
        namespaces = tuple(dict.fromkeys(one for one in binding.namespaces if _NAMESPACE.match(one)))
        evidence = {
            "credential": credential.kid,
            "credential_name": credential.name,
            "generation": str(credential.generation),
        }
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

    def _check(self, credential: Credential, directory: str) -> None:
        """Raises Unauthorized for a credential that speaks for nobody any more.

        Expiry is not looked at: it ends new registrations, and an account that was made in time goes on until its
        credential is disabled. An issuer in a cluster must not stop on the day that its secret expires.
        """
        reason = ""
        if credential.disabled_at is not None:
            reason = "is disabled"
        elif credential.binding.directories and directory not in credential.binding.directories:
            reason = f"is not for the directory {directory}"
        if reason:
            raise Unauthorized(
                f"the external account credential {credential.kid} of this account {reason}; ask for a new one"
            )
