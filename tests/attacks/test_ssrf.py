"""Server-side request forgery through validation: nothing is connected to that the guard refuses.

THREATS: Vault CVE-2026-5052, Fulcio CVE-2026-22772. Beside the refusal, each test sees that no connection was begun.
"""

import asyncio
import inspect
import pkgutil
from importlib import import_module
from ipaddress import ip_network

import pytest

import acme_ra.validation
from acme_ra.core.problems import ConnectionFailed, DNSFailed, IncorrectResponse
from acme_ra.validation.service import ValidationAuthority
from tests.support.challenge_peers import (
    KEY_AUTHORIZATION,
    LOOPBACK,
    NAME,
    http_peer,
    http_response,
    redirect,
    settings,
    target,
)
from tests.support.dns_server import fake_dns

EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))
SECRET = b"root-password-of-the-intranet"

FORBIDDEN = [
    ("A", "127.0.0.1"), ("A", "127.8.8.8"), ("A", "0.0.0.0"), ("A", "10.0.0.1"), ("A", "100.64.0.1"),
    ("A", "169.254.169.254"), ("A", "172.16.0.1"), ("A", "192.168.0.1"), ("A", "224.0.0.1"), ("A", "255.255.255.255"),
    ("AAAA", "::1"), ("AAAA", "::"), ("AAAA", "fc00::1"), ("AAAA", "fe80::1"), ("AAAA", "fd00:ec2::254"),
    ("AAAA", "::ffff:127.0.0.1"), ("AAAA", "64:ff9b::7f00:1"), ("AAAA", "64:ff9b:1::7f00:1"), ("AAAA", "2002:7f00:1::"),
    ("AAAA", "ff02::1"),
]  # fmt: skip
DISGUISED = [
    ("AAAA", "::ffff:127.0.0.1"),
    ("AAAA", "64:ff9b::7f00:1"),
    ("A", "0.0.0.0"),
    ("AAAA", "::"),
    ("AAAA", "::127.0.0.1"),
]


@pytest.fixture
async def dialled(monkeypatch):
    """Every outbound TCP connection that the code under test begins: host and port."""
    loop = asyncio.get_running_loop()
    connect, seen = loop.create_connection, []

    async def spy(factory, host=None, port=None, **options):
        if host is not None:
            seen.append((host, port))
        return await connect(factory, host, port, **options)

    monkeypatch.setattr(loop, "create_connection", spy)
    return seen


@pytest.mark.parametrize(("kind", "address"), FORBIDDEN)
@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
async def test_a_dns_answer_cannot_point_inside(challenge, kind, address, dialled):
    """A name that leads to a forbidden address is refused by address and setting, without a packet."""
    async with fake_dns() as dns, http_peer(http_response(KEY_AUTHORIZATION)) as inside:
        dns.records[NAME, kind] = [address]
        authority = ValidationAuthority(settings(dns.address, http_port=inside.port, tls_alpn_port=inside.port))

        with pytest.raises(ConnectionFailed) as caught:
            await authority.validate(challenge, target(networks=()))

        assert f"{NAME}: its address {address} is " in caught.value.detail
        assert (inside.connections, dialled) == (0, [])


@pytest.mark.parametrize(("kind", "address"), DISGUISED)
async def test_a_disguised_address_is_refused_even_where_everything_is_allowed(kind, address, dialled):
    """Mapped, translated and unspecified addresses would reach the listener here; none does."""
    async with fake_dns() as dns, http_peer(http_response(KEY_AUTHORIZATION)) as inside:
        dns.records[NAME, kind] = [address]
        authority = ValidationAuthority(settings(dns.address, http_port=inside.port))

        with pytest.raises(ConnectionFailed, match="never connects"):
            await authority.validate("http-01", target(networks=EVERYTHING))

        assert (inside.connections, dialled) == (0, [])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.1", "64:ff9b::7f00:1"])
@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
async def test_an_ip_identifier_passes_the_same_guard(challenge, address, dialled):
    """An order for an address is no way round."""
    with pytest.raises(ConnectionFailed):
        await ValidationAuthority(settings()).validate(challenge, target(address, networks=()))

    assert dialled == []


async def test_a_forbidden_address_beside_an_allowed_one_is_never_tried(dialled):
    """Of several addresses only those are connected to that passed the guard."""
    async with fake_dns() as dns, http_peer(http_response(KEY_AUTHORIZATION), host="127.0.0.2") as peer:
        dns.records[NAME, "A"] = ["169.254.169.254", "10.0.0.1", "127.0.0.2"]
        dns.records[NAME, "AAAA"] = ["::ffff:127.0.0.1", "::1"]
        authority = ValidationAuthority(settings(dns.address, http_port=peer.port))

        await authority.validate("http-01", target(networks=(ip_network("127.0.0.2"),)))

        assert dialled == [("127.0.0.2", peer.port)]


async def test_dns_rebinding_gains_nothing(dialled):
    """The address that was checked is the one connected to: a second, different answer is never asked for."""
    async with fake_dns() as dns, http_peer(http_response(KEY_AUTHORIZATION), host="127.0.0.2") as peer:
        dns.records[NAME, "A"] = [["127.0.0.2"], ["127.0.0.1"]]
        authority = ValidationAuthority(settings(dns.address, http_port=peer.port))
        only = target(networks=(ip_network("127.0.0.2"),))

        await authority.validate("http-01", only)
        assert dns.asked(NAME, "A") == 1
        assert dialled == [("127.0.0.2", peer.port)]

        with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1 is a loopback"):
            await authority.validate("http-01", only)
        assert len(dialled) == 1


async def test_rebinding_between_redirects_is_guarded_at_each_hop(dialled):
    """The same name may answer otherwise at the next hop, and is checked again."""
    async with fake_dns() as dns, http_peer(redirect("/next"), host="127.0.0.2") as peer:
        dns.records[NAME, "A"] = [["127.0.0.2"], ["127.0.0.1"]]
        authority = ValidationAuthority(settings(dns.address, http_port=peer.port))

        with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1 is a loopback"):
            await authority.validate("http-01", target(networks=(ip_network("127.0.0.2"),)))

        assert dialled == [("127.0.0.2", peer.port)]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/", "https://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/", "http://0.0.0.0/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
        "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://127.0.0.1./",
        "http://inside.test/", "//inside.test/", "https://inside.test/", "http://alias.test/", "http://localhost/",
        "http://public.test@127.0.0.1/", "http://127.0.0.1:22/", "http://127.0.0.1:6443/api", "ftp://127.0.0.1/",
        "file:///etc/passwd", "gopher://127.0.0.1/", "http://127.0.0.1\\@public.test/", "http://127.0.0.1%00.test/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary Redirect"])
async def test_a_redirect_cannot_point_inside(location, status, dialled):
    """Whatever a redirect says, nothing but the first host is connected to."""
    async with fake_dns() as dns, http_peer(redirect(location, status), host="127.0.0.2") as peer:
        dns.records[NAME, "A"] = ["127.0.0.2"]
        dns.records["inside.test", "A"] = ["127.0.0.1"]
        dns.records["alias.test", "CNAME"] = ["inside.test"]
        authority = ValidationAuthority(settings(dns.address, http_port=peer.port, https_port=peer.port))

        with pytest.raises((ConnectionFailed, DNSFailed)):
            await authority.validate("http-01", target(networks=(ip_network("127.0.0.2"),)))

        assert dialled == [("127.0.0.2", peer.port)]


async def test_what_a_private_server_says_is_not_told_after_a_redirect():
    """With private networks allowed, a redirect chooses host and path: the answer's content stays inside."""
    async with fake_dns() as dns, http_peer([redirect("http://intranet.test/secrets"), http_response(SECRET)]) as peer:
        dns.records[NAME, "A"] = dns.records["intranet.test", "A"] = ["127.0.0.1"]
        authority = ValidationAuthority(settings(dns.address, http_port=peer.port))

        with pytest.raises(IncorrectResponse) as caught:
            await authority.validate("http-01", target())

        assert SECRET.decode() not in caught.value.detail
        assert f"{len(SECRET)} bytes" in caught.value.detail


async def test_an_environment_proxy_is_not_used(monkeypatch, dialled):
    """HTTP_PROXY would see, and could forge, every validation."""
    async with fake_dns() as dns, http_peer(http_response(KEY_AUTHORIZATION)) as peer:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
        dns.records[NAME, "A"] = ["127.0.0.1"]

        await ValidationAuthority(settings(dns.address, http_port=peer.port)).validate("http-01", target())

        assert dialled == [("127.0.0.1", peer.port)]


async def test_names_of_the_hosts_file_are_not_known():
    """`localhost` is looked up in DNS like any name: the machine's own names mean nothing here."""
    async with fake_dns() as dns:
        with pytest.raises(DNSFailed, match="NXDOMAIN"):
            await ValidationAuthority(settings(dns.address)).validate("http-01", target("localhost", networks=LOOPBACK))

        assert dns.asked("localhost", "A") == 1


def test_only_the_dialer_and_the_resolver_open_connections():
    """A connection made anywhere else in validation would go round the guard."""
    opening = (
        "create_connection",
        "open_connection",
        "socket.socket",
        "sock_connect",
        "urlopen",
        "ClientSession",
        "import aiohttp",
    )
    modules = pkgutil.walk_packages(acme_ra.validation.__path__, "acme_ra.validation.")
    found = {
        module.name
        for module in modules
        if any(word in inspect.getsource(import_module(module.name)) for word in opening)
    }

    assert found == {"acme_ra.validation.egress", "acme_ra.validation.resolver"}
