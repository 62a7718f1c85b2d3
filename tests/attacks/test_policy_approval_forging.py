"""Ways round the engine to an approval: made by hand, copied, changed, disguised (THREATS: side doors to signing)."""

import ast
import copy
import hashlib
import pickle
from pathlib import Path

import msgspec
import pytest

import acme_ra
from acme_ra.core import approval as module
from acme_ra.core.approval import Approval, ApprovedCertificate, claim_mint
from acme_ra.core.decision import Decision, Outcome, Refusal, Terms
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.keys import KeyAlgorithm, SubjectKey
from acme_ra.core.request import Stage
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy.errors import NotApproved
from tests.support.policies import engine, facts, grant, request

SPKI = b"a public key"
KEY = SubjectKey(KeyAlgorithm.ECDSA_P256, SPKI, hashlib.sha256(SPKI).hexdigest())
EVIL = (Identifier(IdentifierType.DNS, "evil.example.org"),)


@pytest.fixture
def policies() -> PolicyEngine:
    return engine(grant())


@pytest.fixture
def decision(policies: PolicyEngine) -> Decision:
    asked = request("a.example.com", stage=Stage.FINALIZE, key_fingerprint=KEY.fingerprint)
    return policies.decide(asked, facts())


@pytest.fixture
def approval(policies: PolicyEngine, decision: Decision) -> Approval:
    return policies.approve(decision, order_id=1, key=KEY, serial="1f")


def changed(decision: Decision) -> list[Decision]:
    """The decision with each thing in it turned to the attacker's advantage."""
    replace = msgspec.structs.replace
    assert decision.terms is not None
    asked = decision.request
    return [
        replace(decision, request=replace(asked, identifiers=EVIL)),
        replace(decision, request=replace(asked, identifiers=(*asked.identifiers, *EVIL))),
        replace(decision, request=replace(asked, account="2.bbbbbbbbbbbbbbbb")),
        replace(decision, request=replace(asked, workload=None)),
        replace(decision, terms=replace(decision.terms, not_after=decision.terms.not_after + 1)),
        replace(decision, terms=replace(decision.terms, authority="other")),
        replace(decision, terms=replace(decision.terms, profile="ca")),
        replace(decision, policy_digest="0" * 64),
        replace(decision, policies=()),
        replace(decision, id="0" * 32),
        replace(decision, id=decision.id[:12] + "0" * 20),
        replace(decision, id=""),
    ]


def test_a_decision_made_by_hand_is_not_approved(policies: PolicyEngine) -> None:
    """Allowed, complete and plausible, and never decided."""
    asked = request("a.example.com", stage=Stage.FINALIZE, key_fingerprint=KEY.fingerprint)
    terms = Terms("grant", (), "intermediate", "default", 0, 10**13)
    forged = Decision("00" * 16, Outcome.ALLOWED, asked, policies.digest, (), terms, None)

    with pytest.raises(NotApproved):
        policies.approve(forged, order_id=1, key=KEY, serial="1f")


def test_a_changed_decision_is_not_approved(policies: PolicyEngine, decision: Decision) -> None:
    """Every field counts."""
    for forged in changed(decision):
        with pytest.raises(NotApproved):
            policies.approve(forged, order_id=1, key=KEY, serial="1f")


def test_a_decision_changed_in_place_is_not_approved(policies: PolicyEngine, decision: Decision) -> None:
    """Frozen structs can be forced; the engine's MAC covers what they held."""
    msgspec.structs.force_setattr(decision.request, "identifiers", EVIL)

    with pytest.raises(NotApproved):
        policies.approve(decision, order_id=1, key=KEY, serial="1f")


def test_a_refusal_turned_into_an_allowance_is_not_approved(policies: PolicyEngine) -> None:
    """Outcome, terms and refusal are all covered."""
    asked = request("evil.example.org", stage=Stage.FINALIZE, key_fingerprint=KEY.fingerprint)
    refused = policies.decide(asked, facts())
    terms = Terms("grant", (), "intermediate", "default", 0, 10**13)
    forged = msgspec.structs.replace(refused, outcome=Outcome.ALLOWED, terms=terms, refusal=None)

    for one in (refused, forged, msgspec.structs.replace(forged, refusal=Refusal("no"))):
        with pytest.raises(NotApproved):
            policies.approve(one, order_id=1, key=KEY, serial="1f")


def test_another_engine_does_not_approve_it(decision: Decision) -> None:
    """Not even one with the same policies and the same approval key, as another replica has."""
    with pytest.raises(NotApproved):
        engine(grant()).approve(decision, order_id=1, key=KEY, serial="1f")


def test_what_only_looks_like_a_decision_is_not_approved(policies: PolicyEngine, decision: Decision) -> None:
    """Subclasses, look-alikes and other types, whatever they answer when they are asked."""

    class Sly(Decision, frozen=True):
        pass

    class LookAlike:
        __class__ = Decision  # type: ignore[assignment]
        id = decision.id

    sly = Sly(**{field: getattr(decision, field) for field in Decision.__struct_fields__})
    for one in (sly, LookAlike(), None, {}, decision.id, msgspec.msgpack.encode(decision)):
        with pytest.raises(NotApproved):
            policies.approve(one, order_id=1, key=KEY, serial="1f")  # type: ignore[arg-type]


def test_a_true_copy_approves_what_was_decided_and_no_more(policies: PolicyEngine, decision: Decision) -> None:
    """A copy with the same content is the same permission."""
    copied = pickle.loads(pickle.dumps(decision))

    approved = policies.approve(copied, order_id=1, key=KEY, serial="1f").certificate

    assert approved.identifiers == decision.request.identifiers


def test_an_approval_is_not_made_copied_or_changed(approval: Approval) -> None:
    """By none of the ways that Python has."""
    certificate = approval.certificate
    with pytest.raises(TypeError):
        Approval(certificate)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        type("Forged", (Approval,), {})
    for copier in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copier(approval)
    with pytest.raises(AttributeError):
        approval.certificate = certificate  # type: ignore[misc]
    with pytest.raises(AttributeError):
        approval._certificate = certificate


def test_an_approval_forced_into_shape_gives_no_certificate(policies: PolicyEngine, approval: Approval) -> None:
    """Round the constructor, by another class of the same layout, with a stolen stamp, or changed from within."""
    evil = msgspec.structs.replace(approval.certificate, identifiers=EVIL)
    stolen = object.__getattribute__(approval, "_stamp")

    hollow = object.__new__(Approval)
    object.__setattr__(hollow, "_certificate", evil)
    stamped = object.__new__(Approval)
    object.__setattr__(stamped, "_certificate", evil)
    object.__setattr__(stamped, "_stamp", stolen)

    class SameShape:
        __slots__ = ("_certificate", "_stamp")

    disguised = SameShape()
    disguised._certificate, disguised._stamp = evil, stolen  # type: ignore[attr-defined]
    disguised.__class__ = Approval  # type: ignore[assignment]
    msgspec.structs.force_setattr(approval.certificate, "identifiers", EVIL)

    for forged in (hollow, stamped, disguised, approval):
        with pytest.raises((TypeError, AttributeError)):
            _ = forged.certificate  # type: ignore[attr-defined]
        with pytest.raises(NotApproved):
            policies.seal(forged)  # type: ignore[arg-type]


def test_only_an_approval_is_sealed(policies: PolicyEngine, approval: Approval) -> None:
    class LookAlike:
        __class__ = Approval  # type: ignore[assignment]
        certificate = approval.certificate

    for one in (LookAlike(), approval.certificate, None, b""):
        with pytest.raises(NotApproved):
            policies.seal(one)  # type: ignore[arg-type]


def test_the_mint_is_out_of_reach() -> None:
    """It was handed out when policy/engine was imported."""
    with pytest.raises(RuntimeError):
        claim_mint()
    assert not hasattr(module, "_strike")


def test_only_the_engine_claims_the_mint() -> None:
    """In the whole source: one claim, in policy/engine, and nothing goes round the constructor elsewhere."""
    root = Path(acme_ra.__file__).parent
    claims, evasions = [], []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            text = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "value", None)
            if isinstance(node, ast.alias):
                text = node.name
            if text == "claim_mint" and name != "core/approval.py":
                claims.append(name)
            if text in ("_strike", "_unclaimed", "_stamp", "_stamping", "force_setattr") and name != "core/approval.py":
                evasions.append(f"{name}: {text}")

    assert set(claims) == {"policy/engine.py"}
    assert evasions == []


def test_an_approved_certificate_is_no_approval(policies: PolicyEngine) -> None:
    """The plain data are worth nothing by themselves."""
    certificate = ApprovedCertificate(
        "d", "p", 1, "intermediate", "default", EVIL, KeyAlgorithm.ECDSA_P256, SPKI, KEY.fingerprint, "1f", 0, 1
    )

    with pytest.raises(NotApproved):
        policies.seal(certificate)  # type: ignore[arg-type]
