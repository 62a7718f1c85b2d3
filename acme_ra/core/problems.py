"""Problems told to clients (RFC 8555 §6.7): one class per type; HTTP belongs to the edge.

A problem's text is written for the client: what was wrong, which name or field, and what would be accepted.
Causes go to the log by `raise ... from error` and never into the text.
"""

from typing import ClassVar, NamedTuple


class Subproblem(NamedTuple):
    """One identifier's part in a problem (RFC 8555 §6.7.1). `token` is an ACME error token."""

    token: str
    detail: str
    identifier_type: str
    identifier_value: str


class Problem(Exception):
    """A final answer for the client: the request was understood, and this is why it is not granted."""

    token: ClassVar[str] = "serverInternal"

    def __init__(self, detail: str, *, subproblems: tuple[Subproblem, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.subproblems = subproblems


class AccountDoesNotExist(Problem):
    token = "accountDoesNotExist"


class AlreadyReplaced(Problem):
    """The certificate named by `replaces` was replaced before (RFC 9773 §5)."""

    token = "alreadyReplaced"


class AlreadyRevoked(Problem):
    token = "alreadyRevoked"


class BadCSR(Problem):
    token = "badCSR"


class BadNonce(Problem):
    token = "badNonce"


class BadPublicKey(Problem):
    token = "badPublicKey"


class BadRevocationReason(Problem):
    token = "badRevocationReason"


class BadSignatureAlgorithm(Problem):
    """The edge adds the `algorithms` member (RFC 8555 §6.2)."""

    token = "badSignatureAlgorithm"


class CAAForbids(Problem):
    token = "caa"


class Compound(Problem):
    token = "compound"


class Conflict(Problem):
    """The new key of a key change belongs to another account (RFC 8555 §7.3.5)."""

    token = "malformed"

    def __init__(self, detail: str, *, account: str) -> None:
        super().__init__(detail)
        self.account = account  # resource id "rowid.secret" of the account that holds the key


class ConnectionFailed(Problem):
    token = "connection"


class DNSFailed(Problem):
    token = "dns"


class ExternalAccountRequired(Problem):
    token = "externalAccountRequired"


class IncorrectResponse(Problem):
    token = "incorrectResponse"


class InvalidContact(Problem):
    token = "invalidContact"


class InvalidProfile(Problem):
    """draft-ietf-acme-profiles §5."""

    token = "invalidProfile"


class Malformed(Problem):
    token = "malformed"


class MethodNotAllowed(Problem):
    token = "malformed"


class NotFound(Problem):
    token = "malformed"


class OrderNotReady(Problem):
    token = "orderNotReady"


class PayloadTooLarge(Problem):
    token = "malformed"


class RejectedIdentifier(Problem):
    token = "rejectedIdentifier"


class ServerInternal(Problem):
    token = "serverInternal"


class ServiceUnavailable(Problem):
    """Could not be evaluated just now; nothing was issued and the same request may succeed later.

    Answered with 503, never 4xx: cert-manager takes any 4xx as final, 429 included.
    """

    token = "serverInternal"

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.retry_after = retry_after  # seconds


class RateLimited(ServiceUnavailable):
    """Throttled before any state was touched (RFC 8555 §6.6), answered with 503 for cert-manager's sake."""

    token = "rateLimited"


class TLSFailed(Problem):
    token = "tls"


class Unauthorized(Problem):
    token = "unauthorized"


class UnsupportedContact(Problem):
    token = "unsupportedContact"


class UnsupportedIdentifier(Problem):
    token = "unsupportedIdentifier"


class UnsupportedMediaType(Problem):
    token = "malformed"


class UserActionRequired(Problem):
    token = "userActionRequired"
