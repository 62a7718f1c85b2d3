"""Profile, duration, key, renewal and renewal information, as a Certificate asks for them."""

import base64
import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.clients.certificates import audited, serial
from tests.cluster.harness import MERGE, Object
from tests.cluster.harness.world import World
from tests.support.acme_client import AcmeClient, Signer
from tests.support.oracle import Event, events
from tests.support.processes import wait_for

NAMESPACE = "lifecycle"
REF = {"name": "lifecycle", "kind": "Issuer"}
HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module", autouse=True)
def issuer(world: World) -> None:
    world.cluster.namespace(NAMESPACE)
    world.issuer("--issuer-kind", "Issuer", "--namespace", NAMESPACE, "--name", "lifecycle", enableDurationFeature=True)


@pytest.fixture
def with_renewal_information(world: World) -> Iterator[None]:
    """cert-manager with its alpha gate on."""
    world.manager.stop()
    world.manager.start(gates="ACMEUseARI=true")
    yield
    world.manager.stop()
    world.manager.start()


def ask(world: World, name: str, **spec: Any) -> str:
    world.ask(NAMESPACE, name, f"{name}.lifecycle.svc", **{"issuerRef": REF, **spec})
    return name


def test_the_issuers_profile_is_used(world: World) -> None:
    """An issuer names a profile: the certificate has that profile's lifetime, and the audit log names it."""
    options = ("--issuer-kind", "Issuer", "--namespace", NAMESPACE, "--name", "short", "--profile", "shortlived")
    world.issuer(*options)
    ask(world, "brief", issuerRef={"name": "short", "kind": "Issuer"})

    leaf = world.ready(NAMESPACE, "brief")

    lifetime = leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=5) < lifetime <= datetime.timedelta(days=6)
    (issued,) = (
        event
        for event in events(world.server)
        if event["kind"] == "certificate.issued" and event["serial"] == serial(leaf)
    )
    assert issued["body"]["profile"] == "shortlived"


def test_an_unknown_profile_is_told(world: World) -> None:
    """A profile that the directory does not offer: the Certificate tells which it has."""
    world.issuer("--issuer-kind", "Issuer", "--namespace", NAMESPACE, "--name", "odd", profile="forever")
    ask(world, "odd", issuerRef={"name": "odd", "kind": "Issuer"})

    told = world.refused(NAMESPACE, "odd")

    assert "forever" in told, told


def test_the_certificates_duration_is_kept(world: World) -> None:
    """`duration` reaches the order as notAfter."""
    ask(world, "two-hours", duration="2h", renewBefore="1h")

    leaf = world.ready(NAMESPACE, "two-hours")

    lifetime = leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert HOUR < lifetime <= 2 * HOUR


def test_too_long_a_duration_is_refused_with_the_longest(world: World) -> None:
    """More than the profile gives: the condition says what is asked and what would be allowed."""
    ask(world, "ten-years", duration="87600h")

    told = world.refused(NAMESPACE, "ten-years")

    assert "90d" in told or "90 days" in told, told


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("rsa", {"algorithm": "RSA", "size": 3072}, rsa.RSAPublicKey),
        ("p384", {"algorithm": "ECDSA", "size": 384}, ec.EllipticCurvePublicKey),
    ],
)
def test_keys_that_policy_allows(world: World, name: str, key: Object, kind: type) -> None:
    """The Certificate's key is the one in the certificate."""
    ask(world, name, privateKey=key)

    assert isinstance(world.ready(NAMESPACE, name).public_key(), kind)


def test_a_name_that_is_only_in_the_csr_is_refused(world: World) -> None:
    """cert-manager puts URIs into the CSR and not into the order: nothing is issued, and the condition says why."""
    ask(world, "uri", uris=["spiffe://cluster.local/ns/other/sa/admin"])

    told = world.refused(NAMESPACE, "uri")

    assert "URI" in told or "uri" in told, told


def test_renewal_comes_by_itself(world: World) -> None:
    """Shortly before its end a certificate is replaced, by one with another key."""
    ask(world, "renewed", duration="1h", renewBefore="3590s")
    first = world.ready(NAMESPACE, "renewed")

    wait_for_renewal(world, "renewed")
    second = world.ready(NAMESPACE, "renewed")

    world.cluster.delete("Certificate", "renewed", NAMESPACE)
    assert second.serial_number != first.serial_number
    assert second.public_key() != first.public_key()


@pytest.mark.usefixtures("with_renewal_information")
async def test_a_revoked_certificate_is_replaced(world: World) -> None:
    """With its gate on, cert-manager keeps the window that it was told; when that moves to the past, it renews at once.

    The new order says which certificate it replaces (RFC 9773 §5).
    """
    ask(world, "window")
    first = world.ready(NAMESPACE, "window")
    told = window(world.cluster.wait("Certificate", "window", NAMESPACE, until=window, what="a renewal window"))
    lifetime = first.not_valid_after_utc - first.not_valid_before_utc
    assert first.not_valid_before_utc + lifetime / 2 < told["start"] < told["end"] < first.not_valid_after_utc

    time.sleep(3)  # renewal information is in whole seconds: its window begins after the certificate does
    await revoke(world, first)
    # cert-manager asks again after six hours; this stands for them.
    change_status(world, "window", {"nextCheck": "2020-01-01T00:00:00Z"})
    wait_for_renewal(world, "window")

    second = world.ready(NAMESPACE, "window")
    assert second.serial_number != first.serial_number
    assert audited(world.server, "certificate.revoked", serial=serial(first))
    (order,) = orders_for(world, "window")[1:]
    assert order["body"]["replaces"].endswith(ari_serial(first)), order


@pytest.mark.usefixtures("with_renewal_information")
def test_a_window_that_opens_leads_to_one_renewal(world: World) -> None:
    """A window that cert-manager learns of when it is open, as at a mass replacement.

    cert-manager 1.21 goes on with the old window as long as the new certificate's notBefore lies before it, and would
    renew a backdated certificate again and again. So what replaces another is not backdated.
    """
    ask(world, "once")
    first = world.ready(NAMESPACE, "once")
    world.cluster.wait("Certificate", "once", NAMESPACE, until=window, what="a renewal window")

    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    opened = {"start": text(now), "end": text(now + HOUR)}
    checked = {"lastChecked": text(now), "nextCheck": text(now + HOUR)}
    change_status(world, "once", {"suggestedWindow": opened, **checked})
    wait_for_renewal(world, "once")

    second = world.ready(NAMESPACE, "once")
    time.sleep(2)  # where it came to a second renewal, that began within 10 ms
    assert len(orders_for(world, "once")) == 2
    assert second.not_valid_before_utc >= now
    assert second.serial_number != first.serial_number


def wait_for_renewal(world: World, name: str) -> None:
    wait_for(
        lambda: int(world.cluster.get("Certificate", name, NAMESPACE)["status"].get("revision", 0)) >= 2,
        what=f"a renewal of {name}",
        log=lambda: world.described(NAMESPACE, name),
    )


def orders_for(world: World, name: str) -> list[Event]:
    """The audit log's orders for the name that `ask` gives."""
    return [
        one
        for one in events(world.server)
        if one["kind"] == "order.created" and one["names"] == [f"{name}.lifecycle.svc"]
    ]


def ari_serial(leaf: x509.Certificate) -> str:
    """The second half of the certificate's identifier (RFC 9773 §4.1)."""
    raw = leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 8) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def change_status(world: World, name: str, fields: Object) -> None:
    """What cert-manager remembers of the renewal information."""
    path = f"/apis/cert-manager.io/v1/namespaces/{NAMESPACE}/certificates/{name}/status"
    world.cluster.api("PATCH", path, {"status": {"acme": {"ari": fields}}}, content_type=MERGE)


def text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def window(found: Object) -> dict[str, datetime.datetime]:
    told = found.get("status", {}).get("acme", {}).get("ari", {}).get("suggestedWindow", {})
    return {edge: datetime.datetime.fromisoformat(when) for edge, when in told.items()}


async def revoke(world: World, leaf: x509.Certificate) -> None:
    """By the certificate's own key (RFC 8555 §7.6), as somebody does who found it."""
    pem = base64.b64decode(world.cluster.get("Secret", "window-tls", NAMESPACE)["data"]["tls.key"])
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = base64.urlsafe_b64encode(leaf.public_bytes(serialization.Encoding.DER)).rstrip(b"=").decode()
    async with AcmeClient(world.server.directory, world.server.tls()) as client:
        wanted = {"certificate": der, "reason": 1}
        (await client.post(client.urls["revokeCert"], wanted, jwk=True, signer=Signer(key))).ok(200)
