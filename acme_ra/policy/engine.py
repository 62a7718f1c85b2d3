"""The policy engine: decides, and is the only thing in the server that can make an Approval (DESIGN, invariant 1).

A decision can become an approval only if this very engine made it: its id holds a MAC over all its content under a
key that lives in this process alone. So nothing has to be remembered, and a decision that was made by hand, changed
or read back from storage is worth nothing.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

import msgspec

from acme_ra.core.approval import Approval, ApprovedCertificate, claim_mint
from acme_ra.core.decision import Decision, Outcome
from acme_ra.core.keys import LEAF_ALGORITHMS, SubjectKey
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.core.request import Facts, IssuanceRequest, Stage
from acme_ra.policy.compiled import PolicySet
from acme_ra.policy.errors import ForgedApproval, NotApproved
from acme_ra.policy.evaluation import Evaluator

_mint: Final = claim_mint()
_SERIAL = re.compile(r"[1-9a-f][0-9a-f]{0,39}\Z")
_SEAL: Final = b"acme-ra approval 1"
_MAC_BYTES: Final = 32
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_decision: Final = msgspec.msgpack.Decoder(Decision).decode
_decode_certificate: Final = msgspec.msgpack.Decoder(ApprovedCertificate).decode


class PolicyEngine:
    """Answers whether a request is allowed, under the policy set of the moment."""

    __slots__ = ("_evaluator", "_sealing", "_signing")

    def __init__(self, policies: PolicySet, *, approval_key: bytes) -> None:
        """`approval_key`: 32 bytes that every replica of the server shares, for approvals that survive a restart."""
        if len(approval_key) < 32:
            raise ValueError("approval_key must have at least 32 bytes")
        self._evaluator = Evaluator(policies)
        self._sealing = hmac.new(approval_key, _SEAL, hashlib.sha256)
        self._signing = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=10)

    @property
    def policies(self) -> PolicySet:
        return self._evaluator.policies

    @property
    def digest(self) -> str:
        return self._evaluator.policies.digest

    def replace(self, policies: PolicySet) -> None:
        """Take another policy set from the next decision on. One assignment: a decision sees one set or the other."""
        self._evaluator = Evaluator(policies)

    def needs_routes(self, request: IssuanceRequest, facts: Facts) -> bool:
        """Whether `request.routes` must be looked up before this request is decided."""
        return self._evaluator.needs_routes(request, facts)

    def decide(self, request: IssuanceRequest, facts: Facts) -> Decision:
        """Allowed, or refused with every reason. Pure but for the random id; a refusal is a value.

        Raises ServiceUnavailable where a policy that may refuse could not be read yet.
        """
        evaluator = self._evaluator
        unknown = evaluator.policies.unknown
        if unknown and request.workload is not None and request.workload.cluster in unknown:
            # A guard that was not read yet may be the one that refuses.
            raise ServiceUnavailable(f"the policies of cluster {request.workload.cluster} are not known yet; try again")
        verdict = evaluator.evaluate(request, facts)
        digest = evaluator.policies.digest
        outcome, policies, terms, refusal = verdict
        if outcome != Outcome.ALLOWED or request.stage != Stage.FINALIZE:
            # It can never be approved, so its id is nothing but random.
            return Decision(secrets.token_hex(16), outcome, request, digest, policies, terms, refusal)
        nonce = secrets.token_hex(6)
        mac = self._mac(_encode(Decision(nonce, outcome, request, digest, policies, terms, refusal)))
        return Decision(nonce + mac, outcome, request, digest, policies, terms, refusal)

    def approve(self, decision: Decision, *, order_id: int, key: SubjectKey, serial: str) -> Approval:
        """The permission to sign what `decision` allows, for this key. Raises NotApproved."""
        decided = self._own(decision)
        terms, request = decided.terms, decided.request
        if decided.outcome != Outcome.ALLOWED or terms is None or decided.refusal is not None:
            raise NotApproved("the decision is not an allowance")
        if terms.approvals:
            raise NotApproved("the decision still waits for the approval of a person")
        if request.stage != Stage.FINALIZE:
            raise NotApproved(f"the decision was made at {request.stage.value}; only one at finalize counts")
        _check_key(request, key)
        if type(order_id) is not int or order_id <= 0 or type(serial) is not str or not _SERIAL.match(serial):
            raise NotApproved("an approval needs an order and a serial in lower-case hex without leading zeros")
        return _mint(
            ApprovedCertificate(
                decision=decided.id,
                policy_digest=decided.policy_digest,
                order_id=order_id,
                authority=terms.authority,
                profile=terms.profile,
                identifiers=request.identifiers,
                algorithm=key.algorithm,
                spki=key.spki,
                key_fingerprint=key.fingerprint,
                serial=serial,
                not_before=terms.not_before,
                not_after=terms.not_after,
                # A replacement that seems older than its predecessor's renewal window is renewed over and over by
                # cert-manager 1.21, which takes the old window for the new certificate's.
                backdated=request.not_before is None and not request.replaces,
            )
        )

    def seal(self, approval: Approval) -> bytes:
        """The approval as bytes that only holders of the approval key can make. Raises NotApproved."""
        if type(approval) is not Approval:
            raise NotApproved("this is not an approval")
        try:
            payload = _encode(approval.certificate)
        except (AttributeError, TypeError) as error:
            raise NotApproved("this is not an approval") from error
        return self._seal_of(payload) + payload

    def reinstate(self, sealed: bytes) -> Approval:
        """The approval that was sealed, after a restart. Raises ForgedApproval."""
        if type(sealed) is not bytes or len(sealed) <= _MAC_BYTES:
            raise ForgedApproval("this is not a sealed approval")
        payload = sealed[_MAC_BYTES:]
        if not hmac.compare_digest(sealed[:_MAC_BYTES], self._seal_of(payload)):
            raise ForgedApproval("a sealed approval was changed, or sealed under another key")
        try:
            return _mint(_decode_certificate(payload))
        except msgspec.DecodeError as error:
            raise ForgedApproval("a sealed approval of another version") from error

    def _own(self, decision: Decision) -> Decision:
        """The decision as this engine made it, read back from what its MAC covers. Raises NotApproved."""
        if type(decision) is not Decision or type(decision.id) is not str or len(decision.id) != 32:
            raise NotApproved("this is not a decision of this engine")
        nonce = decision.id[:12]
        try:
            content = _encode(msgspec.structs.replace(decision, id=nonce))
            decided = _decode_decision(content)
        except (TypeError, ValueError, OverflowError) as error:
            raise NotApproved("this is not a decision of this engine") from error
        if not hmac.compare_digest(decision.id[12:].encode(), self._mac(content).encode()):
            raise NotApproved("this is not a decision of this engine, or it was changed")
        return msgspec.structs.replace(decided, id=decision.id)

    def _mac(self, content: bytes) -> str:
        mac = self._signing.copy()
        mac.update(content)
        return mac.hexdigest()

    def _seal_of(self, payload: bytes) -> bytes:
        seal = self._sealing.copy()
        seal.update(payload)
        return seal.digest()


def _check_key(request: IssuanceRequest, key: SubjectKey) -> None:
    """The key is the one that was decided on, and is what its fingerprint says."""
    if type(key) is not SubjectKey or key.algorithm not in LEAF_ALGORITHMS or request.key != key.algorithm:
        raise NotApproved("the decision was made for another kind of key")
    actual = hashlib.sha256(key.spki).hexdigest()
    if actual != key.fingerprint or request.key_fingerprint != actual:
        raise NotApproved("the decision was made for another key")
