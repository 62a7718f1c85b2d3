"""From a decision to an approval, and through a restart."""

import hashlib

import msgspec
import pytest

from acme_ra.core.approval import Approval
from acme_ra.core.keys import KeyAlgorithm, SubjectKey
from acme_ra.core.request import Stage
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy.errors import ForgedApproval, NotApproved
from tests.support.policies import NOW, engine, facts, grant, request

SPKI = b"a public key"
KEY = SubjectKey(KeyAlgorithm.ECDSA_P256, SPKI, hashlib.sha256(SPKI).hexdigest())


def decided(policies: PolicyEngine, **fields: object) -> object:
    fields.setdefault("key_fingerprint", KEY.fingerprint)
    return policies.decide(request("a.example.com", stage=fields.pop("stage", Stage.FINALIZE), **fields), facts())


def test_an_allowed_decision_becomes_an_approval() -> None:
    """It binds names, key, validity, profile, authority, decision and order."""
    policies = engine(grant())
    decision = decided(policies)

    approved = policies.approve(decision, order_id=7, key=KEY, serial="1f").certificate  # type: ignore[arg-type]

    assert approved.decision == decision.id  # type: ignore[attr-defined]
    assert approved.policy_digest == policies.digest
    assert (approved.order_id, approved.serial) == (7, "1f")
    assert [one.value for one in approved.identifiers] == ["a.example.com"]
    assert (approved.authority, approved.profile) == ("intermediate", "default")
    assert (approved.spki, approved.key_fingerprint, approved.algorithm) == (SPKI, KEY.fingerprint, "ecdsa-p256")
    assert (approved.not_before, approved.not_after) == (NOW, NOW + 90 * 86_400_000)


def test_a_sealed_approval_survives_a_restart() -> None:
    """Another process with the same key reads back the same certificate."""
    policies = engine(grant())
    approval = policies.approve(decided(policies), order_id=7, key=KEY, serial="1f")  # type: ignore[arg-type]

    again = engine().reinstate(policies.seal(approval))

    assert type(again) is Approval
    assert again.certificate == approval.certificate


def test_a_decision_made_before_a_reload_still_counts() -> None:
    """It was allowed when it was made, and says by which set."""
    policies = engine(grant())
    decision = decided(policies)
    digest = policies.digest

    policies.replace(engine().policies)

    approval = policies.approve(decision, order_id=7, key=KEY, serial="1f")  # type: ignore[arg-type]
    assert approval.certificate.policy_digest == digest


@pytest.mark.parametrize("stage", [Stage.NEW_ORDER, Stage.AUTHORIZATION])
def test_an_earlier_decision_approves_nothing(stage: Stage) -> None:
    """Later stages know more; only the last one counts."""
    policies = engine(grant())

    with pytest.raises(NotApproved):
        policies.approve(
            decided(policies, stage=stage, key=KEY.algorithm),  # type: ignore[arg-type]
            order_id=7,
            key=KEY,
            serial="1f",
        )


def test_a_refusal_approves_nothing() -> None:
    policies = engine()

    with pytest.raises(NotApproved):
        policies.approve(decided(policies), order_id=7, key=KEY, serial="1f")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key",
    [
        msgspec.structs.replace(KEY, spki=b"another key"),
        msgspec.structs.replace(KEY, fingerprint="0" * 64),
        msgspec.structs.replace(KEY, algorithm=KeyAlgorithm.ECDSA_P384),
        SubjectKey(KEY.algorithm, b"another key", hashlib.sha256(b"another key").hexdigest()),
    ],
)
def test_another_key_is_not_approved(key: SubjectKey) -> None:
    """The decision was made on one key."""
    policies = engine(grant())

    with pytest.raises(NotApproved):
        policies.approve(decided(policies), order_id=7, key=key, serial="1f")  # type: ignore[arg-type]


@pytest.mark.parametrize("serial", ["", "0", "01", "FF", "x", "1" * 41, "-1", "1\n", 5])
def test_a_serial_is_a_positive_number_in_hex(serial: str) -> None:
    policies = engine(grant())

    with pytest.raises(NotApproved):
        policies.approve(decided(policies), order_id=7, key=KEY, serial=serial)  # type: ignore[arg-type]


@pytest.mark.parametrize("order_id", [0, -1, True, "7"])
def test_an_approval_belongs_to_an_order(order_id: int) -> None:
    policies = engine(grant())

    with pytest.raises(NotApproved):
        policies.approve(decided(policies), order_id=order_id, key=KEY, serial="1f")  # type: ignore[arg-type]


def test_every_changed_byte_of_a_sealed_approval_is_noticed() -> None:
    """And cut, prolonged, empty, and sealed under another key."""
    policies = engine(grant())
    sealed = policies.seal(policies.approve(decided(policies), order_id=7, key=KEY, serial="1f"))  # type: ignore[arg-type]
    stranger = PolicyEngine(policies.policies, approval_key=b"x" * 32)
    forged = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]

    for one in (*forged, sealed[:-1], sealed + b"\x00", b"", sealed[:32], sealed[32:], bytearray(sealed)):
        with pytest.raises(ForgedApproval):
            policies.reinstate(one)  # type: ignore[arg-type]
    with pytest.raises(ForgedApproval):
        stranger.reinstate(sealed)


def test_a_short_key_is_no_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PolicyEngine(engine().policies, approval_key=b"short")


@pytest.mark.parametrize(
    ("fields", "backdated"),
    [({}, True), ({"not_before": NOW}, False), ({"replaces": "aki.serial"}, False)],
)
def test_only_a_start_that_nobody_depends_on_is_backdated(fields: dict[str, object], backdated: bool) -> None:
    """Not one that was asked for, nor a replacement's, which must not seem older than the window that led to it."""
    policies = engine(grant())

    approval = policies.approve(decided(policies, **fields), order_id=7, key=KEY, serial="1f")  # type: ignore[arg-type]

    assert approval.certificate.backdated is backdated
