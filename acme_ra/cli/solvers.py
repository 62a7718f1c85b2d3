"""`--solver`: cert-manager's challenge solvers in one word each (http-01 by an ingress class, dns-01 by RFC 2136)."""

import re
from typing import Any

from acme_ra.core.endpoint import parse_endpoint

HELP = (
    "http01=INGRESSCLASS; or dns01=HOST:PORT[,key=TSIGNAME][,algorithm=HMACSHA256][,secret=SECRET/KEY][,zones=A;B]; "
    "or none. May be repeated.  [default: none]"
)
_ALGORITHMS = ("HMACMD5", "HMACSHA1", "HMACSHA256", "HMACSHA512")
_OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")


def parse_solvers(texts: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """The entries of `spec.acme.solvers`. Raises ValueError that says what is accepted."""
    if "none" in texts:
        if len(texts) > 1:
            raise ValueError("none stands alone; leave it out, or the others")
        return ()
    return tuple(_parse(text) for text in texts)


def _parse(text: str) -> dict[str, Any]:
    kind, separator, rest = text.partition("=")
    if kind == "http01" and separator and _OBJECT.match(rest):
        return {"http01": {"ingress": {"ingressClassName": rest}}}
    if kind == "dns01" and separator:
        return _rfc2136(rest)
    raise ValueError(f"{text!r} is none of http01=INGRESSCLASS, dns01=HOST:PORT,… and none")


def _rfc2136(text: str) -> dict[str, Any]:
    server, *words = text.split(",")
    options = dict(_option(word) for word in words)
    rfc2136: dict[str, Any] = {"nameserver": str(parse_endpoint(server))}
    if "key" in options or "secret" in options:
        secret, separator, entry = options.get("secret", "").partition("/")
        if "key" not in options or not separator or not _OBJECT.match(secret) or not entry:
            raise ValueError("dns01 with TSIG needs both key=TSIGNAME and secret=SECRET/KEY")
        algorithm = options.get("algorithm", "HMACSHA256").upper()
        if algorithm not in _ALGORITHMS:
            raise ValueError(f"algorithm={algorithm} is not known; use one of {', '.join(_ALGORITHMS)}")
        rfc2136 |= {
            "tsigKeyName": options["key"],
            "tsigAlgorithm": algorithm,
            "tsigSecretSecretRef": {"name": secret, "key": entry},
        }
    solver: dict[str, Any] = {"dns01": {"rfc2136": rfc2136}}
    if "zones" in options:
        solver = {"selector": {"dnsZones": [zone for zone in options["zones"].split(";") if zone]}, **solver}
    return solver


def _option(word: str) -> tuple[str, str]:
    key, separator, value = word.partition("=")
    if key not in ("key", "algorithm", "secret", "zones") or not separator or not value:
        raise ValueError(f"{word!r} is none of key=, algorithm=, secret= and zones=")
    return key, value
