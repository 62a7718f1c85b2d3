"""Finding a route: fixed paths, parameters of one segment, and nothing else."""

import pytest

from acme_ra.acme.dispatch import Endpoint, Parameters, Table
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request


async def _handler(_: Request, __: Parameters) -> Answer:
    return Answer(b"")


TABLE = Table(
    Endpoint(path, method, path, _handler)
    for path, method in (
        ("new-order", "POST"),
        ("directory", "GET"),
        ("directory", "POST"),
        ("order/{order}", "POST"),
        ("order/{order}/finalize", "POST"),
        ("ca/{authority}.cer", "GET"),
        ("ca/{authority}.crl", "GET"),
    )
)


@pytest.mark.parametrize(
    ("path", "template", "parameters"),
    [
        ("new-order", "new-order", {}),
        ("order/5.abc", "order/{order}", {"order": "5.abc"}),
        ("order/5.abc/finalize", "order/{order}/finalize", {"order": "5.abc"}),
        ("ca/one.crl", "ca/{authority}.crl", {"authority": "one"}),
        ("ca/one.cer.cer", "ca/{authority}.cer", {"authority": "one.cer"}),
    ],
)
def test_a_path_finds_its_endpoint(path, template, parameters):
    """With what stood in the place of each name."""
    found = TABLE.find(path)

    assert found is not None
    assert ({endpoint.path for endpoint in found[0].values()}, dict(found[1])) == ({template}, parameters)


def test_a_path_has_an_endpoint_for_each_of_its_methods():
    """All of them are found together, for the Allow header."""
    found = TABLE.find("directory")

    assert found is not None
    assert {method: endpoint.method for method, endpoint in found[0].items()} == {
        "GET": "GET",
        "HEAD": "GET",
        "POST": "POST",
    }


@pytest.mark.parametrize(
    "path",
    [
        "",
        "order",
        "order/",
        "order//finalize",
        "order/5/",
        "order/5/finalize/",
        "new-order/",
        "ca/oneXcer",
    ],
)
def test_other_paths_find_nothing(path):
    """A segment is never empty, and the dots of a template are dots."""
    assert TABLE.find(path) is None


def test_get_brings_head_along():
    """And POST brings nothing."""
    assert [endpoint.methods for endpoint in TABLE.endpoints[4:6]] == [("POST",), ("GET", "HEAD")]
