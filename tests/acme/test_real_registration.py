"""The edge over the real registration authority, store, policy and local CA: RFC flows end to end, in process."""

import secrets

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.credential_seal import CredentialRights, seal_credential
from acme_ra.core.objects import Binding
from tests.acme.client import EdgeClient, Member, Signer, b64, dumps, running_edge
from tests.support.ra import RA, make_csr

SECRET = b"k" * 32


async def credential(ra: RA, *namespaces: str) -> str:
    """A new credential bound to these namespaces; its kid."""
    kid = secrets.token_hex(8)
    bound = Binding(cluster="prod", namespaces=namespaces)
    binding = msgspec.json.encode(bound)
    sealed = seal_credential(ra.sealer, SECRET, CredentialRights(kid, kid, bound, None, 1))
    await ra.store.transact(
        lambda tx: tx.insert_credential(
            kid=kid, name=kid, binding=binding, sealed_secret=sealed, now=ra.clock.now(), expires_at=None, max_uses=1
        )
    )
    return kid


async def member_of(client: EdgeClient, ra: RA, *namespaces: str) -> Member:
    """Register with external account binding, as every client does."""
    client.directory = "default"
    signer, url = Signer(), client.urls.new_account("default")
    header = {"alg": "HS256", "kid": await credential(ra, *namespaces), "url": url}
    return await client.register(signer, externalAccountBinding=Signer("HS256", SECRET).sign(header, dumps(signer.jwk)))


def csr_for(*names: str) -> str:
    return b64(make_csr(ec.generate_private_key(ec.SECP256R1()), *names))


async def test_a_namespaces_own_name_needs_no_challenge(ra):
    """Account, order that is ready at once, certificate, renewal information, revocation, the CRL."""
    async with running_edge(ra) as client:
        member = await member_of(client, ra, "shop")

        order = await member.new_order("web.shop.svc")
        done = await member.post(order.json["finalize"], {"csr": csr_for("web.shop.svc")})
        certificate = await member.post(done.json["certificate"])
        leaf, *chain = x509.load_pem_x509_certificates(certificate.body)
        aki = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        serial = leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 8) // 8, "big")
        window = await client.get(f"{client.urls.renewal_info('default')}/{b64(aki)}.{b64(serial)}")
        der = b64(leaf.public_bytes(Encoding.DER))
        revoked = await member.post(client.urls.revoke_cert("default"), {"certificate": der, "reason": 4})
        crl = await client.get(client.urls.authority_crl("intermediate"))
        issuer = await client.get(client.urls.authority_certificate("intermediate"))

        assert (order.status, order.json["status"]) == (201, "ready")
        assert (done.status, done.json["status"]) == (200, "valid")
        assert done.headers["Location"] == order.headers["Location"]
        assert chain
        leaf.verify_directly_issued_by(x509.load_der_x509_certificate(issuer.body))
        assert window.status == 200
        assert revoked.status == 200
        assert x509.load_der_x509_crl(crl.body).get_revoked_certificate_by_serial_number(leaf.serial_number)


async def test_a_public_name_is_validated_first(ra):
    """Pending, challenge, ready, valid."""
    async with running_edge(ra) as client:
        member = await member_of(client, ra, "shop")
        order = await member.new_order("www.example.test")
        authorization = await member.post(order.json["authorizations"][0])

        early = await member.post(order.json["finalize"], {"csr": csr_for("www.example.test")})
        answered = await member.post(authorization.json["challenges"][0]["url"], {})
        ready = await member.post(order.headers["Location"])
        done = await member.post(order.json["finalize"], {"csr": csr_for("www.example.test")})

        assert order.json["status"] == authorization.json["status"] == "pending"
        assert (early.status, early.token) == (403, "orderNotReady")
        assert answered.json["status"] == "valid"
        assert ready.json["status"] == "ready"
        assert done.json["status"] == "valid"


async def test_another_namespaces_name_is_refused_with_the_reason(ra):
    """403 with a subproblem per name; the CA is never asked."""
    async with running_edge(ra) as client:
        member = await member_of(client, ra, "shop")

        answer = await member.new_order("db.pay.svc")

        assert (answer.status, answer.token) == (403, "rejectedIdentifier")
        assert answer.json["subproblems"][0]["identifier"] == {"type": "dns", "value": "db.pay.svc"}
        assert "db.pay.svc" in answer.json["detail"]
        assert ra.authority.calls == []


async def test_a_credential_is_used_up_with_a_reason_and_unknown_ones_without(ra):
    """Who knows the secret is told why; who does not learns nothing."""
    async with running_edge(ra) as client:
        client.directory = "default"
        url, kid = client.urls.new_account("default"), await credential(ra, "shop")

        async def register(kid: str, secret: bytes = SECRET):
            signer = Signer()
            binding = Signer("HS256", secret).sign({"alg": "HS256", "kid": kid, "url": url}, dumps(signer.jwk))
            return await client.post(url, {"externalAccountBinding": binding}, signer=signer)

        first, second = await register(kid), await register(kid)
        wrong, unknown = await register(kid, b"x" * 32), await register("nobody")
        none = await client.post(url, {}, signer=Signer())

        assert first.status == 201
        assert (second.status, second.token) == (403, "unauthorized")
        assert "1 of 1" in second.json["detail"]
        assert wrong.json["detail"] == unknown.json["detail"]
        assert (none.status, none.token) == (403, "externalAccountRequired")


async def test_key_change_and_deactivation_hold_at_once(ra):
    """The next request already feels it: keys are cached by their bytes, never by the account."""
    async with running_edge(ra) as client:
        member, new = await member_of(client, ra, "shop"), Signer()
        url = client.urls.key_change("default")
        inner = new.sign(
            {"alg": "ES256", "jwk": new.jwk, "url": url}, dumps({"account": member.kid, "oldKey": member.signer.jwk})
        )

        changed = await member.post(url, inner)
        by_old = await member.post(member.kid)
        by_new = await client.post(member.kid, {"status": "deactivated"}, signer=new, kid=member.kid)
        after = await client.post(member.kid, None, signer=new, kid=member.kid)

        assert changed.status == 200
        assert by_old.status == 400
        assert by_new.json["status"] == "deactivated"
        assert (after.status, after.token) == (401, "unauthorized")


async def test_the_accounts_of_others_are_not_told_apart_from_none(ra):
    """A foreign order and one that never was answer alike."""
    async with running_edge(ra) as client:
        victim, thief = await member_of(client, ra, "shop"), await member_of(client, ra, "pay")
        order = await victim.new_order("web.shop.svc")
        url = order.headers["Location"]

        foreign = [await thief.post(each) for each in (url, order.json["authorizations"][0])]
        finalize = await thief.post(order.json["finalize"], {"csr": csr_for("web.shop.svc")})
        missing = await thief.post(client.urls.order("default", "99." + "A" * 16))

        assert {each.status for each in (*foreign, finalize, missing)} == {404}
        assert ra.authority.calls == []
