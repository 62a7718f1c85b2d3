"""Grants: default deny, one that passes wholly, and the choice among several."""

import pytest

from acme_ra.core.clock import DAY, HOUR, MINUTE, SECOND
from acme_ra.core.decision import Outcome
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Stage, Workload
from tests.support.policies import NOW, engine, facts, grant, guard, profile, reasons, request, workload

ALLOWED, REFUSED = Outcome.ALLOWED, Outcome.REFUSED


def test_an_empty_set_denies_everything() -> None:
    """Default deny, told with the way out."""
    decision = engine().decide(request("a.example.com", namespace="shop"), facts())

    assert decision.outcome == REFUSED
    assert decision.terms is None
    assert decision.policies == ()
    assert decision.refusal is not None
    assert "no granting policy is loaded" in decision.refusal.detail


def test_a_request_without_names_is_refused() -> None:
    """Every name of an empty list matches; it is refused all the same."""
    assert engine(grant()).decide(request(), facts()).outcome == REFUSED


def test_one_grant_must_give_all_names() -> None:
    """Two grants that give half each give nothing together."""
    policies = engine(
        grant("one", allowed={"dnsNames": ["a.example.com"]}), grant("two", allowed={"dnsNames": ["b.example.com"]})
    )

    decision = policies.decide(request("a.example.com", "b.example.com"), facts())

    assert decision.outcome == REFUSED
    assert reasons(decision) == [
        ("one", "allowed.dnsNames", "b.example.com"),
        ("two", "allowed.dnsNames", "a.example.com"),
    ]


@pytest.mark.parametrize(
    "selector",
    [
        {"clusters": []},
        {"namespaces": {}},
        {"namespaces": {"matchNames": []}},
        {"namespaces": {"matchLabels": {}}},
        {"directories": []},
        {"credentials": []},
        {"profiles": []},
    ],
)
def test_an_empty_selector_list_selects_nothing(selector: dict[str, object]) -> None:
    """Empty means no; only an absent key means any."""
    here = workload("shop", cluster="prod", labels={"team": "a"})

    decision = engine(grant(selector=selector)).decide(request("a.example.com", workload=here), facts())

    assert decision.outcome == REFUSED


@pytest.mark.parametrize(
    "allowed",
    [{"dnsNames": []}, {"ipAddresses": ["10.0.0.0/8"]}],
)
def test_names_that_are_not_named_are_not_granted(allowed: dict[str, object]) -> None:
    """A grant without dnsNames grants no DNS name."""
    assert engine(grant(allowed=allowed)).decide(request("a.example.com"), facts()).outcome == REFUSED


def test_addresses_need_their_own_list() -> None:
    """A grant of names grants no address; a grant of a network grants what lies in it."""
    policies = engine(
        grant("names"), grant("net", allowed={"ipAddresses": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]})
    )

    allowed = [
        name
        for name in ("10.1.2.3", "11.0.0.1", "2001:db8::1", "2001:db9::1", "192.0.2.7", "192.0.2.8")
        if policies.decide(request(name), facts()).outcome == ALLOWED
    ]

    assert allowed == ["10.1.2.3", "2001:db8::1", "192.0.2.7"]


@pytest.mark.parametrize("wildcards", [None, False, True])
def test_a_wildcard_needs_wildcards_true(wildcards: bool | None) -> None:
    """A pattern that covers the wildcard is not enough."""
    allowed = {"dnsNames": ["*.example.com"]} | ({} if wildcards is None else {"wildcards": wildcards})

    decision = engine(grant(allowed=allowed)).decide(request("*.example.com"), facts())

    assert (decision.outcome == ALLOWED) is (wildcards is True)


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({"clusters": ["prod-*"]}, True),
        ({"clusters": ["test-*"]}, False),
        ({"namespaces": {"matchNames": ["shop-*"]}}, True),
        ({"namespaces": {"matchNames": ["pay", "shop-web"]}}, True),
        ({"namespaces": {"matchNames": ["shop"]}}, False),
        ({"namespaces": {"matchLabels": {"team": "shop"}}}, True),
        ({"namespaces": {"matchLabels": {"team": "shop", "tier": "*"}}}, False),
        ({"namespaces": {"matchNames": ["pay"], "matchLabels": {"team": "shop"}}}, False),
        ({"directories": ["int*"]}, True),
        ({"directories": ["public"]}, False),
        ({"credentials": ["kid-1"]}, True),
        ({"credentials": ["ci-*"]}, True),
        ({"credentials": ["kid-2"]}, False),
        ({"profiles": ["default"]}, True),
        ({"profiles": ["short"]}, False),
    ],
)
def test_selectors_choose_by_what_is_known(selector: dict[str, object], selected: bool) -> None:
    """All given keys must match; a credential is chosen by its kid or by its name."""
    evidence = {"credential": "kid-1", "credential_name": "ci-shop"}
    here = workload("shop-web", cluster="prod-eu", labels={"team": "shop"}, evidence=evidence)

    decision = engine(grant(selector=selector)).decide(request("a.example.com", workload=here), facts())

    assert (decision.outcome == ALLOWED) is selected
    assert len(decision.policies) == selected


@pytest.mark.parametrize(
    "selector",
    [
        {"clusters": ["*"]},
        {"namespaces": {"matchNames": ["*"]}},
        {"namespaces": {"matchLabels": {"team": "*"}}},
        {"credentials": ["*"]},
    ],
)
@pytest.mark.parametrize("unknown", [None, Workload(source="none"), Workload(source="x", labels={"team": ""})])
def test_what_is_unknown_matches_no_selector(selector: dict[str, object], unknown: Workload | None) -> None:
    """Not even `*`."""
    asked = request("a.example.com", workload=unknown, credential="")

    assert engine(grant(selector=selector)).decide(asked, facts()).outcome == REFUSED


def test_a_name_of_another_credential_does_not_select() -> None:
    """The name counts only for the credential that the account has."""
    policies = engine(grant(selector={"credentials": ["ci"]}))
    here = workload(evidence={"credential": "kid-2", "credential_name": "ci"})

    assert policies.decide(request("a.example.com", workload=here), facts()).outcome == REFUSED


def test_a_directory_chooses_its_grants_by_name() -> None:
    """No name, no grant; guards cannot be left out this way."""
    policies = engine(grant("public-a"), grant("internal-a"), guard("no-b", denied={"dnsNames": ["b.example.com"]}))

    def grant_of(name: str, *policy_names: str) -> str:
        terms = policies.decide(request(name), facts(policy_names=policy_names)).terms
        return "" if terms is None else terms.grant

    assert grant_of("a.example.com", "public-*") == "public-a"
    assert grant_of("a.example.com", "internal-a") == "internal-a"
    assert grant_of("a.example.com") == ""
    assert grant_of("b.example.com", "public-*") == ""


def test_a_grant_that_needs_no_proof_goes_first() -> None:
    """Fewest demands first, then by name; the order of files does not matter."""
    documents = [grant("b", require={"challenges": "none"}), grant("a"), grant("c", require={"challenges": "none"})]

    for order in (documents, documents[::-1]):
        decision = engine(*order).decide(request("a.example.com"), facts())
        assert decision.terms is not None
        assert (decision.terms.grant, decision.terms.challenges) == ("b", ())


def test_a_grant_that_a_guard_forbids_gives_way_to_the_next() -> None:
    """A guard over a profile refuses one grant's choice and not another's."""
    policies = engine(
        grant("a", profile="default"),
        grant("b", profile="short"),
        guard("no-long", selector={"profiles": ["default"]}, profiles=["short"]),
    )

    decision = policies.decide(request("a.example.com"), facts())

    assert decision.terms is not None
    assert decision.terms.grant == "b"


def test_challenges_are_what_grant_and_directory_have_in_common() -> None:
    """In the grant's order; without a list, all that the directory offers."""
    listed = engine(grant(require={"challenges": ["dns-01", "http-01"]}))
    open_ = engine(grant())

    def challenges(policies: object, *offered: str) -> tuple[str, ...]:
        decision = policies.decide(request("a.example.com"), facts(challenges=offered))  # type: ignore[attr-defined]
        return () if decision.terms is None else decision.terms.challenges

    assert challenges(listed, "http-01", "dns-01", "tls-alpn-01") == ("dns-01", "http-01")
    assert challenges(listed, "dns-01", "tls-alpn-01") == ("dns-01",)
    assert challenges(open_, "http-01", "tls-alpn-01") == ("http-01", "tls-alpn-01")
    assert engine(grant(require={"challenges": []})).decide(request("a.example.com"), facts()).outcome == REFUSED
    assert listed.decide(request("a.example.com"), facts(challenges=("tls-alpn-01",))).outcome == REFUSED


@pytest.mark.parametrize(
    ("name", "challenges", "allowed"),
    [
        ("*.a.example.com", ["http-01"], False),
        ("*.a.example.com", ["http-01", "dns-01"], True),
        ("10.0.0.1", ["dns-01"], False),
        ("10.0.0.1", ["tls-alpn-01"], True),
    ],
)
def test_a_name_that_no_challenge_can_prove_is_refused_early(name: str, challenges: list[str], allowed: bool) -> None:
    """RFC 8555 §8.4, RFC 8738 §7: wildcards by dns-01 only, addresses never by it."""
    allow = {"dnsNames": ["**.example.com"], "ipAddresses": ["10.0.0.0/8"], "wildcards": True}

    decision = engine(grant(allowed=allow, require={"challenges": challenges})).decide(request(name), facts())

    assert (decision.outcome == ALLOWED) is allowed


@pytest.mark.parametrize(
    ("challenges", "proof", "allowed"),
    [
        (["dns-01"], "dns-01", True),
        (["dns-01"], "http-01", False),
        (["dns-01"], "none", False),
        (["dns-01"], "", False),
        (["dns-01"], "dns-02", False),
        ("none", "none", True),
        ("none", "http-01", True),
        ("none", "", False),
        ("none", "magic-01", False),
    ],
)
def test_at_finalize_each_name_was_proved_by_what_is_accepted_now(
    challenges: object, proof: str, allowed: bool
) -> None:
    """An authorization obtained under another policy does not serve."""
    policies = engine(grant(require={"challenges": challenges}))
    proofs = {"a.example.com": "dns-01" if proof != "none" else "none", "b.example.com": proof}

    asked = request("a.example.com", "b.example.com", stage=Stage.FINALIZE, proofs=proofs)

    assert (policies.decide(asked, facts()).outcome == ALLOWED) is allowed


def test_a_wildcard_proved_by_http_is_not_proved() -> None:
    """Whatever the grant accepts for other names."""
    policies = engine(grant(allowed={"dnsNames": ["**.example.com"], "wildcards": True}))
    asked = request("*.example.com", stage=Stage.FINALIZE, proofs={"*.example.com": "http-01"})

    assert policies.decide(asked, facts()).outcome == REFUSED


def test_keys_are_asked_about_at_finalize_only() -> None:
    """Before, the key is unknown, which is no reason to refuse; at finalize it is."""
    policies = engine(grant(constraints={"keys": ["ecdsa-p384", "rsa-2048"]}))

    def outcome(stage: Stage, key: KeyAlgorithm | None) -> Outcome:
        return policies.decide(request("a.example.com", stage=stage, key=key), facts()).outcome

    assert outcome(Stage.NEW_ORDER, None) == ALLOWED
    assert outcome(Stage.AUTHORIZATION, None) == ALLOWED
    assert outcome(Stage.FINALIZE, KeyAlgorithm.ECDSA_P384) == ALLOWED
    assert outcome(Stage.FINALIZE, KeyAlgorithm.ECDSA_P256) == REFUSED
    assert outcome(Stage.FINALIZE, KeyAlgorithm.RSA_2048) == REFUSED  # the profile does not take it
    assert outcome(Stage.FINALIZE, None) == REFUSED


@pytest.mark.parametrize(
    ("spec", "asked", "given"),
    [
        ({}, "", "default"),
        ({}, "short", "short"),
        ({}, "nope", None),
        ({"profile": "short"}, "", "short"),
        ({"profile": "short"}, "default", None),
        ({"profiles": ["short"]}, "", "short"),
        ({"profiles": ["short"]}, "default", None),
        ({"profiles": ["short", "default"], "profile": "short"}, "default", "default"),
        ({"profiles": []}, "", None),
        ({"profile": "gone"}, "", None),
    ],
)
def test_the_profile_is_offered_and_allowed(spec: dict[str, object], asked: str, given: str | None) -> None:
    """What the client asked for, else the grant's, else the directory's default."""
    decision = engine(grant(**spec)).decide(request("a.example.com", profile=asked), facts())

    assert (decision.terms.profile if decision.terms else None) == given


@pytest.mark.parametrize(("authority", "given"), [(None, "intermediate"), ("other", "other"), ("elsewhere", None)])
def test_the_authority_is_one_of_the_directory(authority: str | None, given: str | None) -> None:
    policies = engine(grant() if authority is None else grant(authority=authority))

    terms = policies.decide(request("a.example.com"), facts()).terms

    assert (terms.authority if terms else None) == given
    assert policies.decide(request("a.example.com"), facts(authorities=())).outcome == REFUSED


def test_usages_beyond_the_allowed_are_refused() -> None:
    """Extended usages are compared; key usages are the profile's business."""
    policies = engine(grant(allowed={"dnsNames": ["**.example.com"], "usages": ["server auth"]}))

    def outcome(*usages: str) -> Outcome:
        return policies.decide(request("a.example.com"), facts(profiles={"default": profile(usages=usages)})).outcome

    assert outcome("server auth", "digital signature") == ALLOWED
    assert outcome("server auth", "client auth") == REFUSED
    assert outcome("something new") == REFUSED


def test_validity_is_the_least_of_what_everything_allows() -> None:
    """Profile, grant and every selected guard; a shadow counts for nothing."""
    shop = guard("shop", selector={"namespaces": {"matchNames": ["shop"]}}, constraints={"maxDuration": "10d"})
    shadow = guard("shadow", mode="shadow", constraints={"maxDuration": "1d"})
    policies = engine(grant(constraints={"maxDuration": "30d"}), shop, shadow)

    def days(namespace: str, **fields: object) -> float:
        terms = policies.decide(request("a.example.com", namespace=namespace, **fields), facts()).terms
        assert terms is not None
        assert terms.not_before == NOW
        return (terms.not_after - terms.not_before) / DAY

    assert days("pay") == 30
    assert days("shop") == 10
    assert days("shop", profile="short") == 7
    assert days("shop", not_after=NOW + 2 * DAY) == 2


@pytest.mark.parametrize(
    ("not_before", "not_after", "allowed"),
    [
        (None, 10 * DAY, True),
        (None, 10 * DAY + 4 * MINUTE, True),
        (None, 10 * DAY + 6 * MINUTE, False),
        (None, 100 * DAY, False),
        (None, -SECOND, False),
        (2 * DAY, DAY, False),
        (DAY, 2 * DAY, True),
        (DAY, None, True),
        (9 * DAY, 11 * DAY, False),
        (11 * DAY, None, False),
        (-30 * MINUTE, 9 * DAY, True),
        (-30 * MINUTE, 10 * DAY, False),
        (-2 * HOUR, DAY, False),
    ],
)
def test_a_requested_validity_is_given_or_refused(not_before: int | None, not_after: int | None, allowed: bool) -> None:
    """Never cut, but for five minutes that clocks may differ by."""
    policies = engine(grant(constraints={"maxDuration": "10d"}))
    start = None if not_before is None else NOW + not_before
    end = None if not_after is None else NOW + not_after

    decision = policies.decide(request("a.example.com", not_before=start, not_after=end), facts())

    assert (decision.outcome == ALLOWED) is allowed
    if decision.terms is not None:
        assert decision.terms.not_before == (NOW if start is None else start)
        assert decision.terms.not_after <= NOW + 10 * DAY


def test_a_start_that_has_passed_since_the_order_moves_along() -> None:
    """An order that waited for days still gets its certificate, and nothing is dated back by days."""
    asked = request("a.example.com", stage=Stage.FINALIZE, not_before=NOW - 3 * DAY, not_after=NOW + DAY)

    terms = engine(grant()).decide(asked, facts()).terms

    assert terms is not None
    assert (terms.not_before, terms.not_after) == (NOW - HOUR, NOW + DAY)


def test_a_profile_whose_issuer_has_ended_gives_nothing() -> None:
    """Validity 0 comes from an issuer that is about to expire."""
    for validity in (0, -DAY):
        some = facts(profiles={"default": profile(validity=validity)})
        assert engine(grant()).decide(request("a.example.com"), some).outcome == REFUSED


def test_an_unknown_stage_or_type_is_refused() -> None:
    """Unknown enum values mean no."""
    import msgspec

    asked = request("a.example.com")
    strange_stage = msgspec.structs.replace(asked, stage="later")
    strange_type = msgspec.structs.replace(asked.identifiers[0], type="email")
    policies = engine(grant(require={"challenges": "none"}))

    assert policies.decide(asked, facts()).outcome == ALLOWED
    assert policies.decide(strange_stage, facts()).outcome == REFUSED
    strange = msgspec.structs.replace(asked, identifiers=(strange_type,))
    assert policies.decide(strange, facts()).outcome == REFUSED


def test_every_decision_has_an_id_of_its_own() -> None:
    """16 bytes in hex; the same question twice gives two decisions with the same content."""
    policies = engine(grant())

    one, two = (policies.decide(request("a.example.com"), facts()) for _ in range(2))

    assert one.id != two.id
    assert len(bytes.fromhex(one.id)) == 16
    assert one.terms == two.terms
    assert one.policy_digest == policies.digest
