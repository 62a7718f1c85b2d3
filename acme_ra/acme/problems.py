"""Problems as HTTP answers: problem documents with ACME error types (RFC 8555 §6.7, RFC 9457)."""

from typing import Any, Final

import orjson

from acme_ra.acme.jwk import ALGORITHMS
from acme_ra.core import problems
from acme_ra.core.objects import StoredError
from acme_ra.core.problems import Problem, Subproblem

CONTENT_TYPE: Final = "application/problem+json"
_PREFIX: Final = "urn:ietf:params:acme:error:"


class AccountNotUsable(problems.Unauthorized):
    """The account that signed is deactivated, or its credential is (RFC 8555 §7.3.6 asks for 401)."""


class NotAcceptable(Problem):
    """The Accept header excludes the only representation that there is."""

    token = "malformed"


class RequestTimeout(problems.ServiceUnavailable):
    """The body did not arrive in time. Not 408: clients take any 4xx as final, and the next try may be quicker."""


#: What is not here is a 400. The nearest class in the MRO counts.
_STATUS: Final[dict[type, int]] = {
    AccountNotUsable: 401,
    NotAcceptable: 406,
    problems.AlreadyReplaced: 409,
    problems.CAAForbids: 403,
    problems.Conflict: 409,
    problems.ExternalAccountRequired: 403,
    problems.MethodNotAllowed: 405,
    problems.NotFound: 404,
    problems.OrderNotReady: 403,
    problems.PayloadTooLarge: 413,
    problems.RejectedIdentifier: 403,
    problems.ServerInternal: 500,
    problems.ServiceUnavailable: 503,
    problems.Unauthorized: 403,
    problems.UnsupportedMediaType: 415,
    problems.UserActionRequired: 403,
}
#: The HTTP status shown inside a stored error, by token.
_STATUS_OF_TOKEN: Final[dict[str, int]] = {
    "caa": 403,
    "externalAccountRequired": 403,
    "orderNotReady": 403,
    "rejectedIdentifier": 403,
    "serverInternal": 500,
    "unauthorized": 403,
    "userActionRequired": 403,
}


def status_of(problem: Problem) -> int:
    """The HTTP status, which the document's `status` repeats: clients believe the latter."""
    for kind in type(problem).__mro__:
        status = _STATUS.get(kind)
        if status is not None:
            return status
    return 400


def render_problem(problem: Problem, *, status: int, instance: str = "") -> bytes:
    """The problem document. `instance` is a URI that names this occurrence in the log."""
    document: dict[str, Any] = {"type": _PREFIX + problem.token, "detail": problem.detail, "status": status}
    if problem.subproblems:
        document["subproblems"] = [_subproblem(each) for each in problem.subproblems]
    if isinstance(problem, problems.BadSignatureAlgorithm):
        document["algorithms"] = list(getattr(problem, "algorithms", ALGORITHMS))
    if instance:
        document["instance"] = instance
    return orjson.dumps(document)


def render_stored(error: StoredError) -> dict[str, Any]:
    """An error kept with an order or a challenge (RFC 8555 §7.1.3, §8)."""
    document: dict[str, Any] = {
        "type": _PREFIX + error.token,
        "detail": error.detail,
        "status": _STATUS_OF_TOKEN.get(error.token, 400),
    }
    if error.subproblems:
        document["subproblems"] = [_subproblem(Subproblem(*each)) for each in error.subproblems]
    return document


def _subproblem(each: Subproblem) -> dict[str, Any]:
    return {
        "type": _PREFIX + each.token,
        "detail": each.detail,
        "identifier": {"type": each.identifier_type, "value": each.identifier_value},
    }
