"""The words of a refusal, as a developer reads them in `kubectl describe certificate`."""

from typing import Any

import pytest

from acme_ra.core.clock import DAY
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.problems import Subproblem
from acme_ra.core.request import Stage
from tests.support.policies import NOW, engine, facts, grant, guard, local, request

SHOP = grant(
    "shop-names",
    selector={"namespaces": {"matchNames": ["shop", "shop-*"]}},
    allowed={"dnsNames": ["{namespace}.svc", "*.{namespace}.svc"]},
    require={"challenges": "none"},
)


def refusal(*documents: dict[str, Any], names: tuple[str, ...], facts_: Any = None, **fields: Any) -> str:
    decision = engine(*documents).decide(request(*names, **fields), facts_ or facts())
    assert decision.refusal is not None
    return decision.refusal.detail


@pytest.mark.parametrize(
    ("documents", "fields", "text"),
    [
        (
            [SHOP],
            {"names": ("db.pay.svc",), "namespace": "shop"},
            "policy refuses db.pay.svc: not among the names allowed to namespace shop (shop.svc, *.shop.svc) "
            "[grant shop-names, rule allowed.dnsNames]",
        ),
        (
            [SHOP],
            {"names": ("db.pay.svc",), "namespace": "pay"},
            "no policy grants db.pay.svc to namespace pay in directory internal: the nearest grant shop-names selects "
            "namespaces shop, shop-* (here: pay)",
        ),
        (
            [SHOP],
            {"names": ("db.shop.svc",)},
            "no policy grants db.shop.svc to namespace unknown in directory internal: the nearest grant shop-names "
            "selects namespaces shop, shop-* (here: unknown)",
        ),
        (
            [],
            {"names": ("db.shop.svc",), "namespace": "shop"},
            "no policy grants db.shop.svc to namespace shop in directory internal: everything is refused unless a "
            "policy grants it, and no granting policy is loaded; ask for a ClusterIssuancePolicy with `effect: grant`",
        ),
        (
            [SHOP, guard("reserved", denied={"dnsNames": ["admin.shop.svc"]})],
            {"names": ("admin.shop.svc", "db.shop.svc"), "namespace": "shop"},
            "policy refuses admin.shop.svc: among the names that nobody here may have (admin.shop.svc) "
            "[guard reserved, rule denied.dnsNames]",
        ),
        (
            [SHOP, local("shop", "few", require={"rules": [{"expression": "false", "message": "ask the shop team"}]})],
            {"names": ("db.shop.svc",), "namespace": "shop"},
            "policy refuses the request: ask the shop team [guard shop/few, rule require.rules[0]]",
        ),
        (
            [SHOP],
            {"names": ("*.shop.svc",), "namespace": "shop"},
            "policy refuses *.shop.svc: wildcards are not allowed here; ask for each name "
            "[grant shop-names, rule allowed.wildcards]",
        ),
        (
            [grant("g", constraints={"maxDuration": "720h"})],
            {"names": ("a.example.com",), "not_after": NOW + 60 * DAY},
            "policy refuses the request: notAfter 2027-01-17T11:06:40Z is too late; at most 30d, until "
            "2026-12-18T11:06:40Z, is allowed [grant g, rule constraints.maxDuration]",
        ),
        (
            [grant("g", constraints={"keys": ["ecdsa-p384"]})],
            {"names": ("a.example.com",), "stage": Stage.FINALIZE, "key": KeyAlgorithm.ECDSA_P256},
            "policy refuses the request: the key is ecdsa-p256; use ecdsa-p384 [grant g, rule constraints.keys]",
        ),
        (
            [
                grant(
                    "g",
                    allowed={"dnsNames": ["**.example.com"], "wildcards": True},
                    require={"challenges": ["http-01"]},
                )
            ],
            {"names": ("*.example.com",)},
            "policy refuses *.example.com: a wildcard needs dns-01; accepted here: http-01 "
            "[grant g, rule require.challenges]",
        ),
        (
            [grant("g", require={"challenges": ["dns-01"]})],
            {"names": ("a.example.com",), "stage": Stage.FINALIZE, "proofs": {"a.example.com": "none"}},
            "policy refuses a.example.com: proved by none; needed: dns-01 [grant g, rule require.challenges]",
        ),
        (
            [grant("g", profiles=["short"])],
            {"names": ("a.example.com",), "profile": "default"},
            "policy refuses the request: profile default was asked for; allowed here: short [grant g, rule profile]",
        ),
    ],
)
def test_a_refusal_names_the_name_the_policy_the_rule_and_the_way_out(
    documents: list[dict[str, Any]], fields: dict[str, Any], text: str
) -> None:
    assert refusal(*documents, **fields) == text


def test_a_directory_that_takes_other_policies_says_so() -> None:
    """A grant would select the request, but this directory does not take it."""
    text = refusal(grant("internal-a"), names=("a.example.com",), facts_=facts(policy_names=("public-*",)))

    assert text.endswith(
        "the nearest grant internal-a is not one of directory internal, which takes policies named public-*"
    )


def test_each_identifier_has_at_most_one_subproblem() -> None:
    """RFC 8555 §6.7.1: with the name as it was asked for, and the nearest policy's reason."""
    decision = engine(SHOP, guard("g", denied={"dnsNames": ["**.pay.svc"]})).decide(
        request("ok.shop.svc", "db.pay.svc", "10.0.0.1", namespace="shop"), facts()
    )

    assert decision.refusal is not None
    assert decision.refusal.subproblems == (
        Subproblem(
            "rejectedIdentifier",
            "among the names that nobody here may have (**.pay.svc) [guard g, rule denied.dnsNames]",
            "dns",
            "db.pay.svc",
        ),
        Subproblem(
            "rejectedIdentifier",
            "not among the IP addresses allowed (none) [grant shop-names, rule allowed.ipAddresses]",
            "ip",
            "10.0.0.1",
        ),
    )


def test_a_long_refusal_keeps_within_what_clients_show() -> None:
    """A hundred long names under twenty grants: 1,000 characters, the nearest reason first, the rest counted."""
    patterns = [f"{'p' * 50}-{index}.example.com" for index in range(100)]
    grants = [grant(f"grant-{index:02}", allowed={"dnsNames": patterns}) for index in range(20)]
    names = tuple(f"{'n' * 60}.{'m' * 60}.x{index}.example.org" for index in range(100))

    decision = engine(*grants).decide(request(*names, namespace="shop"), facts())

    assert decision.refusal is not None
    detail = decision.refusal.detail
    assert len(detail) <= 1000
    assert detail.startswith(f"policy refuses {names[0]}, ")
    assert "[grant grant-00, rule allowed.dnsNames]" in detail
    assert detail.endswith("more")
    assert all(len(one.detail) <= 300 for one in decision.refusal.subproblems)
    assert len(decision.refusal.subproblems) == 20
