"""Which hosts carry which names: wildcards mean what their own specification says, and nothing more."""

import pytest

from acme_ra.attribution.sources.kubernetes.routes import carries
from acme_ra.core.identifiers import Identifier, IdentifierType


def dns(value: str) -> Identifier:
    return Identifier(IdentifierType.DNS, value)


@pytest.mark.parametrize(
    ("host", "name", "ingress", "gateway"),
    [
        ("web.shop.example", "web.shop.example", True, True),
        ("WEB.Shop.example", "web.shop.example", True, True),
        ("web.shop.example", "shop.example", False, False),
        ("web.shop.example", "a.web.shop.example", False, False),
        ("web.shop.example", "*.web.shop.example", False, False),
        ("web.shop.example", "*.shop.example", False, False),
        # One label more; for the Gateway API, one or more.
        ("*.shop.example", "web.shop.example", True, True),
        ("*.shop.example", "a.web.shop.example", False, True),
        ("*.shop.example", "shop.example", False, False),
        ("*.shop.example", "webshop.example", False, False),
        ("*.shop.example", "web.other.example", False, False),
        # A wildcard certificate is for each name below: the host must reach as far.
        ("*.shop.example", "*.shop.example", True, True),
        ("*.shop.example", "*.web.shop.example", False, True),
        ("*.shop.example", "*.example", False, False),
        ("*.web.shop.example", "*.shop.example", False, False),
        # What names no host carries everything, and shows nothing.
        ("", "web.shop.example", False, False),
        ("*", "web.shop.example", False, False),
        ("*.", "web.shop.example", False, False),
        ("*.*.shop.example", "a.web.shop.example", False, False),
        ("w*.shop.example", "web.shop.example", False, False),
        ("*.com", "shop.com", True, True),
    ],
)
def test_a_host_carries_what_its_kind_says(host: str, name: str, ingress: bool, gateway: bool) -> None:
    """Ingress: one label. Gateway listeners and routes: one or more."""
    assert carries(host, dns(name), deep=False) is ingress
    assert carries(host, dns(name), deep=True) is gateway


def test_an_address_is_carried_by_no_host() -> None:
    """Even where somebody writes it as one."""
    address = Identifier(IdentifierType.IP, "192.0.2.7")
    assert not carries("192.0.2.7", address, deep=True)
