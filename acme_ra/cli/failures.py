"""Exceptions of the packages → one message and an exit code. Imported only after something went wrong."""

from acme_ra.cli.frame import Exit


def explain(error: Exception) -> tuple[str, int]:
    """The lines to print, and the exit code. An unexpected error says how to learn more."""
    from acme_ra.config import ConfigurationInvalid
    from acme_ra.config.secrets import KeyFileUnusable
    from acme_ra.core.problems import NotFound, Problem, ServiceUnavailable
    from acme_ra.core.sealing import SealBroken
    from acme_ra.issuance.issuer import AuthorityMisconfigured
    from acme_ra.kubernetes.errors import ClusterMisconfigured
    from acme_ra.listener import ListenFailed, TLSUnusable
    from acme_ra.policy.errors import PolicyErrors
    from acme_ra.storage.contract import Conflict, StoreUnavailable
    from acme_ra.storage.schema import SchemaMismatch
    from acme_ra.supervisor import StartFailed

    if isinstance(error, StoreUnavailable):
        return f"the database cannot be used: {error.reason}; check its disk and try again", Exit.UNAVAILABLE
    codes: tuple[tuple[tuple[type[Exception], ...], Exit], ...] = (
        (
            (
                ConfigurationInvalid,
                KeyFileUnusable,
                TLSUnusable,
                PolicyErrors,
                AuthorityMisconfigured,
                ClusterMisconfigured,
            ),
            Exit.CONFIGURATION,
        ),
        ((NotFound,), Exit.NOT_FOUND),
        ((ServiceUnavailable, ListenFailed, SchemaMismatch, StartFailed), Exit.UNAVAILABLE),
    )
    for kinds, code in codes:
        if isinstance(error, kinds):
            return str(error), code
    if isinstance(error, Conflict):
        return f"not done, because it was changed or is in that state already: {error}", Exit.REFUSED
    if isinstance(error, SealBroken):
        fix = "use the secrets.key_file that belongs to this database; if it is that one, disable what was changed"
        return f"{error}; {fix}", Exit.CONFIGURATION
    if isinstance(error, Problem):
        return error.detail, Exit.REFUSED
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; check the path and its permissions", Exit.FAILURE
    kind = type(error).__name__
    return f"unexpected {kind}: {error}; run again with --debug and report it", Exit.FAILURE
