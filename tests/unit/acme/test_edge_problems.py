"""Problems as HTTP answers."""

import json

import pytest

from acme_ra.acme import problems as edge
from acme_ra.acme.jws import UnsupportedAlgorithm
from acme_ra.acme.problems import render_problem, render_stored, status_of
from acme_ra.core import problems
from acme_ra.core.objects import StoredError
from acme_ra.core.problems import Problem, Subproblem

STATUS = {
    "AccountDoesNotExist": 400,
    "AccountNotUsable": 401,
    "AlreadyReplaced": 409,
    "AlreadyRevoked": 400,
    "BadCSR": 400,
    "BadNonce": 400,
    "BadPublicKey": 400,
    "BadRevocationReason": 400,
    "BadSignatureAlgorithm": 400,
    "CAAForbids": 403,
    "Compound": 400,
    "Conflict": 409,
    "ConnectionFailed": 400,
    "DNSFailed": 400,
    "ExternalAccountRequired": 403,
    "IncorrectResponse": 400,
    "InvalidContact": 400,
    "InvalidProfile": 400,
    "Malformed": 400,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "NotFound": 404,
    "OrderNotReady": 403,
    "PayloadTooLarge": 413,
    "RateLimited": 503,
    "RejectedIdentifier": 403,
    "RequestTimeout": 503,
    "ServerInternal": 500,
    "ServiceUnavailable": 503,
    "TLSFailed": 400,
    "Unauthorized": 403,
    "UnsupportedAlgorithm": 400,
    "UnsupportedContact": 400,
    "UnsupportedIdentifier": 400,
    "UnsupportedMediaType": 415,
    "UserActionRequired": 403,
}


def _kinds():
    found, waiting = set(), [Problem]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind.__module__ in (problems.__name__, edge.__name__, "acme_ra.acme.jws"):
            found.add(kind)
    return sorted(found - {Problem}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.__name__)
def test_every_problem_has_a_status_that_was_thought_about(kind):
    """A new class without an entry in the table fails; the document repeats the status."""
    problem = kind("text", account="1.x") if kind is problems.Conflict else kind("text")

    status = status_of(problem)
    document = json.loads(render_problem(problem, status=status))

    assert status == STATUS[kind.__name__]
    assert document["type"] == "urn:ietf:params:acme:error:" + kind.token
    assert document["detail"] == "text"
    assert document["status"] == status


def test_subproblems_name_their_identifier():
    """RFC 8555 §6.7.1."""
    problem = problems.RejectedIdentifier("two", subproblems=(Subproblem("caa", "no", "dns", "a.test"),))

    document = json.loads(render_problem(problem, status=403))

    assert document["subproblems"] == [
        {"type": "urn:ietf:params:acme:error:caa", "detail": "no", "identifier": {"type": "dns", "value": "a.test"}}
    ]


def test_a_bad_algorithm_lists_the_good_ones():
    """RFC 8555 §6.2."""
    listed = json.loads(render_problem(problems.BadSignatureAlgorithm("x"), status=400))["algorithms"]
    narrowed = json.loads(render_problem(UnsupportedAlgorithm("x", algorithms=("ES256",)), status=400))["algorithms"]

    assert listed == ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
    assert narrowed == ["ES256"]


def test_hostile_text_stays_json():
    """Control characters, quotes and markup come out as one JSON string."""
    text = "\x00\x1b[31m\"'</script>\n\u2028"
    assert json.loads(render_problem(problems.Malformed(text), status=400))["detail"] == text


def test_a_stored_error_is_shown_as_a_problem():
    """RFC 8555 §7.1.3: with its subproblems."""
    shown = render_stored(StoredError("dns", "SERVFAIL", (("dns", "SERVFAIL", "dns", "a.test"),)))

    assert shown["type"] == "urn:ietf:params:acme:error:dns"
    assert shown["subproblems"][0]["identifier"] == {"type": "dns", "value": "a.test"}
