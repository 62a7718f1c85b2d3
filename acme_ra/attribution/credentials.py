"""What an external account credential says before any source is asked (RFC 8555 §7.3.4)."""

import re

from acme_ra.core.objects import Credential
from acme_ra.core.problems import Unauthorized


def check_credential(credential: Credential, directory: str) -> None:
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


def evidence_of(credential: Credential) -> dict[str, str]:
    """What every source tells of the credential; policies select by `credential_name`."""
    return {
        "credential": credential.kid,
        "credential_name": credential.name,
        "generation": str(credential.generation),
    }


def namespace_allowed(credential: Credential, namespace: str) -> bool:
    """Whether the binding lets the credential speak for a namespace that a cluster named; globs as in `team-*`.

    A binding without namespaces is the whole cluster's: an issuer of a cluster serves all of its namespaces.
    """
    globs = credential.binding.namespaces
    return not globs or any(_matches(glob, namespace) for glob in globs)


def _matches(glob: str, namespace: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in glob.split("*"))
    return bool(namespace) and re.fullmatch(pattern, namespace) is not None
