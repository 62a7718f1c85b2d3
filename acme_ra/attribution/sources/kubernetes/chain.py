"""From an Order to the person's object: every link is read live, and believed only if the UIDs agree."""

from typing import TypeVar

import msgspec

from acme_ra.attribution.sources.kubernetes.objects import (
    CERT_MANAGER,
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    CertificateRequestObject,
    OrderObject,
    SeenOrder,
)
from acme_ra.attribution.sources.kubernetes.routes import GATEWAY_GROUP, GATEWAYS, INGRESSES
from acme_ra.core.problems import Unauthorized
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ApiNotFound
from acme_ra.kubernetes.resources import Meta, OwnerReference, Resource

T = TypeVar("T", CertificateRequestObject, Meta)
_OWNERS = {("networking.k8s.io", "Ingress"): INGRESSES, (GATEWAY_GROUP, "Gateway"): GATEWAYS}


class Chain(msgspec.Struct, frozen=True):
    """What was verified; "" for what the Order does not lead to."""

    certificate: str = ""
    owner: str = ""  # "Ingress web"
    evidence: dict[str, str] = {}


async def read_request(client: ApiClient, seen: SeenOrder) -> CertificateRequestObject | None:
    """The CertificateRequest that the Order says it comes from. Raises Unauthorized when that is another one."""
    reference = _reference(seen.controller, CERT_MANAGER, "CertificateRequest")
    if reference is None:
        return None
    return await _owner(client, CERTIFICATE_REQUESTS, reference, seen.namespace, CertificateRequestObject)


def check_request(request: CertificateRequestObject, order: OrderObject) -> None:
    """An Order asks for what its CertificateRequest asks for. Raises Unauthorized."""
    if request.spec.request != order.spec.request or request.spec.issuer_ref.same != order.spec.issuer_ref.same:
        metadata = request.metadata
        raise Unauthorized(
            f"CertificateRequest {metadata.namespace}/{metadata.name} asks for something else than its Order "
            f"{order.metadata.name}; delete the CertificateRequest, and it will be made anew"
        )


async def follow(client: ApiClient, request: CertificateRequestObject | None) -> Chain:
    """CertificateRequest → Certificate → Ingress or Gateway, as far as it goes.

    An absent reference ends the chain: what is unknown stays unknown. A reference to what is not there, or is another
    object of that name, is a refusal. Raises Unauthorized, KubernetesError.
    """
    if request is None:
        return Chain()
    metadata = request.metadata
    evidence = {"certificate_request": metadata.name, "certificate_request_uid": metadata.uid}
    if request.spec.username:
        evidence["requested_by"] = request.spec.username
    reference = _reference(metadata.controller, CERT_MANAGER, "Certificate")
    if reference is None:
        return Chain(evidence=evidence)
    certificate = await _owner(client, CERTIFICATES, reference, metadata.namespace, Meta)
    evidence |= {"certificate": reference.name, "certificate_uid": reference.uid}
    owner = certificate.metadata.controller
    resource = None if owner is None else _OWNERS.get((_group(owner), owner.kind))
    if owner is None or resource is None:
        return Chain(certificate=reference.name, evidence=evidence)
    await _owner(client, resource, owner, metadata.namespace, Meta)
    told = f"{owner.kind} {owner.name}"
    return Chain(certificate=reference.name, owner=told, evidence=evidence | {"owner": told, "owner_uid": owner.uid})


async def _owner(client: ApiClient, resource: Resource, reference: OwnerReference, namespace: str, into: type[T]) -> T:
    """The owner as it is now. Owners are of the same namespace, whatever a reference says."""
    told = f"{reference.kind} {namespace}/{reference.name}"
    try:
        found = await client.get(resource, reference.name, namespace=namespace, into=into)
    except ApiNotFound as error:
        raise Unauthorized(f"{told}, which the request comes from, was deleted") from error
    metadata = found.metadata
    if not reference.uid or (metadata.uid, metadata.namespace) != (reference.uid, namespace):
        raise Unauthorized(f"{told} is not the one that the request comes from: it was made anew since, or never was")
    return found


def _reference(reference: OwnerReference | None, group: str, kind: str) -> OwnerReference | None:
    if reference is None or (_group(reference), reference.kind) != (group, kind):
        return None
    return reference


def _group(reference: OwnerReference) -> str:
    group, separator, _ = reference.api_version.partition("/")
    return group if separator else ""
