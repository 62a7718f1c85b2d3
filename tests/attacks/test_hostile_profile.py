"""A profile or an authority in the configuration cannot smuggle anything into certificates."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import TypeAdapter, ValidationError

from acme_ra.issuance.builder import LeafBuilder
from acme_ra.issuance.contract import AuthorityRefused
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.settings import AuthoritySettings, ProfileSettings, is_http_url
from tests.support.issuing import approval, dns, make_ca

HOSTILE = [
    ({"usages": []}, "usages"),
    ({"usages": ["any"]}, "usages"),
    ({"usages": ["code signing"]}, "usages"),
    ({"usages": ["server auth", "server auth"]}, "entry twice"),
    ({"keys": []}, "keys"),
    ({"keys": ["ecdsa-p521"]}, "are not issued"),
    ({"keys": ["rsa-1024"]}, "keys"),
    ({"validity": "0s"}, "validity"),
    ({"validity": "99999d"}, "validity"),
    ({"validity": 300_001}, "whole seconds"),
    ({"backdate": "30d"}, "backdate"),
    ({"backdate": -1000}, "backdate"),
    ({"policies": ["2.5.29.32.0; DROP"]}, "not an object identifier"),
    ({"policies": ["1.99.1"]}, "not an object identifier"),
    ({"policies": ["3.1.1"]}, "not an object identifier"),
    ({"crl_url": "file:///etc/passwd"}, "not an http"),
    ({"crl_url": "ldap://x/y"}, "not an http"),
    ({"crl_url": "http://"}, "not an http"),
    ({"crl_url": "http://x/\n"}, "not an http"),
    ({"crl_url": "http://user:secret@x/"}, "not an http"),
    ({"crl_url": "http://x:99999/"}, "not an http"),
    ({"aia_url": "javascript:alert(1)"}, "not an http"),
    ({"aia_url": "http://bücher.example/"}, "not an http"),
    ({"lint": {"level": "off"}}, "lint.level"),
    ({"lint": {"share": 1.5}}, "lint.share"),
    ({"lint": {"share": -0.1}}, "lint.share"),
    ({"lint": {"share": float("nan")}}, "lint.share"),
    ({"is_ca": True}, "is_ca"),
    ({"extensions": {"2.5.29.19": "MAMBAf8="}}, "extensions"),
]


@pytest.mark.parametrize(("settings", "where"), HOSTILE)
def test_a_hostile_profile_stops_the_start(settings, where):
    """Unknown keys, unknown words and values out of range are mistakes, and the message names them."""
    with pytest.raises(ValidationError) as caught:
        ProfileSettings.model_validate(settings)
    assert where in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "local"},
        {"kind": "trustme", "certificate": "a", "key": "b"},
        {"certificate": "a", "key": "b"},
        {"kind": "local", "certificate": "a", "key": "b", "passphrase": "in the file"},
        {"kind": "local", "certificate": "a", "key": "b", "passphrase_file": "c", "passphrase_env": "D"},
        {"kind": "local", "certificate": "a", "key": "b", "crl_lifetime": "0s"},
    ],
)
def test_a_hostile_authority_stops_the_start(settings):
    """An unknown kind is a refusal, and a passphrase has no place in the configuration file."""
    with pytest.raises(ValidationError):
        TypeAdapter(AuthoritySettings).validate_python(settings)


@pytest.mark.parametrize("url", ["http://ra/ca/x.crl", "https://[::1]:8443/a", "http://127.0.0.1:8080/ca/x.crl?a=1"])
def test_urls_of_private_networks_are_fine(url):
    assert is_http_url(url)


async def test_an_issuer_restricted_to_clients_gives_no_server_certificates():
    """The intermediate's own extended key usages bind it, whatever the profile says."""
    issuer = make_ca().issuer
    issuer.extended_usages = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})

    with pytest.raises(AuthorityRefused, match="not good for every usage"):
        LeafBuilder(Profile("default", ProfileSettings()), issuer)


async def test_text_in_a_name_is_a_name_and_nothing_else():
    """Even if a name escaped the grammar, it would be one dNSName with these very characters, or no certificate."""
    authority = make_ca().authority(default=ProfileSettings(include_common_name=True))
    for text in ("a.example.com,DNS:evil.example", "a.example.com/CN=evil", "x,O=evil", "<script>", "a\nb.example.com"):
        issued = await authority.issue(approval(identifiers=dns(text)))
        leaf = x509.load_der_x509_certificate(issued.leaf)
        (name,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert name.value == text
        assert [one.value for one in leaf.subject] == [text]
    for text in ("bücher.example", "a\u202eb.example"):
        with pytest.raises(AuthorityRefused):
            await authority.issue(approval(identifiers=dns(text)))
