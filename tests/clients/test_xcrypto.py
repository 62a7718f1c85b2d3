"""golang.org/x/crypto/acme, the library inside cert-manager: tests/peers/xcrypto walks through all that it can do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.build import peer
from tests.support.oracle import check
from tests.support.server import Ports, served
from tests.support.software import run

Seen = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What the program saw: scenario → results. It answers DNS itself, so there is no bind9 here."""
    root: Path = tmp_path_factory.mktemp("xcrypto")
    ports = Ports()
    with served(root, ports=ports) as server:
        credential = server.credential("xcrypto")
        argv: list[str | Path] = [peer("xcrypto"), "-directory", server.directory, "-ca", server.ca_bundle]
        argv += ["-eab-kid", credential.kid, "-eab-key", credential.hmac_key]
        argv += ["-http01", f"127.0.0.1:{ports.http01}", "-tlsalpn01", f"127.0.0.1:{ports.tlsalpn01}"]
        argv += ["-dns", f"127.0.0.1:{ports.dns}"]
        result: Seen = json.loads(run(argv, env={}).ok().out)
        yield result
        check(server)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("directory", {"eab": True}),
        ("register-without-eab", {"type": "urn:ietf:params:acme:error:externalAccountRequired"}),
        ("register", {"status": "valid", "same": True}),
        ("update-contact", {"contact": ["mailto:changed@example.test"]}),
        ("no-challenge", {"solved": 0, "names": ["xcrypto.demo.svc.cluster.local"]}),
        ("http-01", {"solved": 2}),
        ("tls-alpn-01", {"solved": 1}),
        ("dns-01", {"solved": 1}),
        ("wildcard", {"solved": 2}),
        ("ip-http-01", {"solved": 1}),
        ("ip-tls-alpn-01", {"solved": 1}),
        ("pre-authorization", {"solved": 0}),
        ("deactivate-authorization", {"authorization": "deactivated", "order": "invalid"}),
        ("renewal-info", {"status": 200, "ordered": True, "within": True}),
        ("alternates", {}),
        ("orders", {}),
        ("key-rollover", {"old-key-is-unknown": True}),
        ("revoke-by-certificate-key", {"revoked": True}),
        ("revoke-by-account", {"revoked": True, "again": True}),
        ("deactivate-account", {"type": "urn:ietf:params:acme:error:unauthorized"}),
    ],
)
def test_scenario_ends_as_the_rfc_says(seen: Seen, scenario: str, expected: dict[str, Any]) -> None:
    """Each scenario of the program, seen from the library's side."""
    result = seen[scenario]

    assert "error" not in result, result
    assert {key: result[key] for key in expected} == expected


def test_refusal_names_the_identifier(seen: Seen) -> None:
    """One name of two is not granted: the problem's type, detail and subproblem name that one only."""
    refused = seen["refused"]

    assert refused.get("type") == "urn:ietf:params:acme:error:rejectedIdentifier", refused
    assert "www.forbidden.example" in refused["detail"]
    assert "polic" in refused["detail"]
    assert refused["subproblems"] == ["www.forbidden.example"]


def test_wrong_answer_is_told_with_its_reason(seen: Seen) -> None:
    """A wrong http-01 body makes authorization and order invalid; the library gets to know why."""
    wrong = seen["wrong-answer"]

    assert "error" not in wrong, wrong
    assert wrong["order"] == "invalid"
    assert "wrong.xcrypto.test" in wrong["reason"]
    assert "wrong.xcrypto.test" in wrong["order-error"]


def test_orders_of_the_account_are_listed(seen: Seen) -> None:
    """The list holds every order that is not invalid (RFC 8555 §7.1.2.1)."""
    assert seen["orders"]["count"] >= 8


def test_renewal_information_has_a_retry_after(seen: Seen) -> None:
    """Retry-After in whole seconds (RFC 9773 §4.2)."""
    assert int(seen["renewal-info"]["retry-after"]) > 0
