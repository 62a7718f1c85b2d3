"""Policies, requests and facts for tests, short enough to be read in a line."""

import json
from typing import Any

from acme_ra.core.clock import DAY
from acme_ra.core.decision import Decision
from acme_ra.core.identifiers import Identifier, IdentifierType, parse_identifier
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Facts, IssuanceRequest, ProfileFacts, Stage, Workload
from acme_ra.policy.compiled import PolicySet
from acme_ra.policy.documents import parse_policies
from acme_ra.policy.engine import PolicyEngine

NOW = 1_795_000_000_000
APPROVAL_KEY = b"k" * 32
P256 = KeyAlgorithm.ECDSA_P256


def grant(name: str = "grant", **spec: Any) -> dict[str, Any]:
    """A ClusterIssuancePolicy that grants; `allowed` is **.example.com unless it is given."""
    spec.setdefault("allowed", {"dnsNames": ["**.example.com"]})
    return cluster(name, effect="grant", **spec)


def guard(name: str = "guard", **spec: Any) -> dict[str, Any]:
    return cluster(name, effect="guard", **spec)


def cluster(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "ClusterIssuancePolicy", "metadata": {"name": name}, "spec": spec}


def local(namespace: str, name: str = "own", **spec: Any) -> dict[str, Any]:
    """An IssuancePolicy: a namespace's own guard."""
    return {"kind": "IssuancePolicy", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def policy_set(*documents: dict[str, Any]) -> PolicySet:
    """JSON is YAML."""
    return parse_policies([(f"{index}.yaml", json.dumps(one).encode()) for index, one in enumerate(documents)])


def engine(*documents: dict[str, Any]) -> PolicyEngine:
    return PolicyEngine(policy_set(*documents), approval_key=APPROVAL_KEY)


def workload(namespace: str = "", **fields: Any) -> Workload:
    return Workload(source="credential", namespace=namespace, **fields)


def identifiers(*names: str) -> tuple[Identifier, ...]:
    found = []
    for name in names:
        address = ":" in name or name.replace(".", "").isdigit()
        if "*" not in name and "." not in name and not address:
            found.append(Identifier(IdentifierType.DNS, name))
        else:
            found.append(parse_identifier("ip" if address else "dns", name))
    return tuple(found)


def request(*names: str, namespace: str = "", stage: Stage = Stage.NEW_ORDER, **fields: Any) -> IssuanceRequest:
    fields.setdefault("workload", workload(namespace))
    if stage == Stage.FINALIZE:
        fields.setdefault("key", P256)
        fields.setdefault("key_fingerprint", "f" * 64)
        fields.setdefault("proofs", dict.fromkeys(names, "dns-01"))
    return IssuanceRequest(
        stage=stage,
        directory=fields.pop("directory", "internal"),
        account="1.aaaaaaaaaaaaaaaa",
        credential=fields.pop("credential", "kid-1"),
        identifiers=identifiers(*names),
        **fields,
    )


def facts(**fields: Any) -> Facts:
    return Facts(
        now=fields.pop("now", NOW),
        profiles=fields.pop("profiles", {"default": profile(), "short": profile(validity=7 * DAY)}),
        default_profile=fields.pop("default_profile", "default"),
        authorities=fields.pop("authorities", ("intermediate", "other")),
        challenges=fields.pop("challenges", ("http-01", "dns-01", "tls-alpn-01")),
        **fields,
    )


def profile(
    *,
    validity: int = 90 * DAY,
    usages: tuple[str, ...] = ("server auth",),
    keys: tuple[KeyAlgorithm, ...] = (KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_3072),
) -> ProfileFacts:
    return ProfileFacts(validity=validity, usages=usages, keys=keys)


def reasons(decision: Decision) -> list[tuple[str, str, str]]:
    """(policy, rule, identifier) of every objection that was recorded."""
    return [
        (outcome.policy, finding.rule, finding.identifier)
        for outcome in decision.policies
        for finding in outcome.findings
    ]
