"""The values in policy documents: what is checked of each, and beside it what a Kubernetes API server checks.

The API server speaks OpenAPI, CEL and Go's regular expressions, so every check is written twice. A test sends the same
documents to both. Where the API server cannot look (what a CEL rule says, keys that nobody knows) it accepts, and what
is here decides.
"""

import itertools
import re
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from acme_ra.core.clock import MINUTE
from acme_ra.core.duration import parse_duration
from acme_ra.core.keys import LEAF_ALGORITHMS
from acme_ra.policy.patterns import MAX_PATTERN, NamePattern

CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
#: The names that profiles and cert-manager use for extended key usages.
USAGES = ("server auth", "client auth", "code signing", "email protection", "timestamping", "ocsp signing")
MAX_EXPRESSION = 1000
MAX_ENTRIES = 1000
MAX_CHOICES = 100
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_POLICY_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")
_NETWORK = re.compile(r"[0-9a-fA-F:.]{2,45}(?:/(?:0|[1-9][0-9]{0,2}))?\Z")


def mistake(message: str, fix: str, *, key: str = "") -> PydanticCustomError:
    """A mistake of ours in pydantic's clothes. `key` is the part of the document below the place it is raised at."""
    return PydanticCustomError("policy", "{message}", {"message": message, "fix": fix, "key": key})


def cel(rule: str, message: str, **more: str) -> dict[str, str]:
    """One of x-kubernetes-validations: a rule in CEL, and what the API server says when it does not hold."""
    return {"rule": rule, "message": message, **more}


# -------------------------------------------------------------------------------------------------------------- names

_OUTSIDE_BRACES = r"(?:[^{}]|\\{[^{}]*\\})"
_NAME_RULES = [
    cel(
        r"self.matches('^(?:[*][*][.])?(?:[a-z0-9*.-]|\\{(?:namespace|cluster|"
        r"label:[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)\\})+$')",
        "is no name pattern; write it in lower case like 'shop.example.com' or '*.{namespace}.svc'",
    ),
    cel(
        rf"!self.matches('^(?:[.-]|[*][*](?:[^.]|$))|^{_OUTSIDE_BRACES}+[*][*]|"
        rf"^{_OUTSIDE_BRACES}*(?:[.][.-]|-[.]|[a-z0-9*-]{{64}}|[.-]$)')",
        "has a label that is empty, over 63 characters, has a hyphen at an end, or '**' elsewhere than as '**.' first",
    ),
]
_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_PATTERN, "x-kubernetes-validations": _NAME_RULES}
_NO_PLACEHOLDERS = cel("!self.contains('{')", "a denied name may not have placeholders; write the names out")
_DENIED_SCHEMA = {**_NAME_SCHEMA, "x-kubernetes-validations": [_NO_PLACEHOLDERS, *_NAME_RULES]}


def _check_pattern(text: str) -> str:
    try:
        NamePattern(text)
    except ValueError as error:
        raise mistake(f"{text[:100]!r}: {error}", "write it like 'shop.example.com' or '*.{namespace}.svc'") from error
    return text


def _check_denied(text: str) -> str:
    if "{" in text:
        # A placeholder that is unknown matches nothing, and a denial that matches nothing denies nothing.
        raise mistake("a denied name may not have placeholders", "write the names out, with * and **. where needed")
    return _check_pattern(text)


# ---------------------------------------------------------------------------------------------------------- addresses

_NETWORK_SCHEMA = {
    "type": "string",
    "minLength": 2,
    "maxLength": 49,
    "x-kubernetes-validations": [
        cel(
            "isIP(self) || (isCIDR(self) && cidr(self).masked() == cidr(self))",
            "is no IP address or network without host bits; write it like 10.0.0.0/8 or ::1",
        )
    ],
}


def _check_network(text: str) -> str:
    try:
        network = ip_network(text)
        if not _NETWORK.match(text):
            raise ValueError("write an address, and the number of bits after a slash if it is a network")
    except ValueError as error:
        raise mistake(
            f"{text[:64]!r} is no IP address or network: {error}", "write it like 10.0.0.0/8 or ::1"
        ) from error
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise mistake(f"{text[:64]!r} is an IPv4-mapped network", "write the IPv4 network itself")
    return str(network)


# ---------------------------------------------------------------------------------------------------------- durations

_DURATION_SCHEMA = {
    "type": "string",
    "minLength": 2,
    "maxLength": 32,
    "x-kubernetes-validations": [
        cel(
            "self.matches('^(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?$')",
            "is not a duration; write it like 90s, 10m, 720h, 47d or 1h30m",
        ),
        cel(
            "!self.matches('^(?:0+d)?(?:0+h)?(?:0+m)?(?:0*[1-5]?[0-9]s)?$')", "is too short; allow at least one minute"
        ),
    ],
}


def _check_duration(value: object) -> int:
    try:
        duration = parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        duration = None
    if duration is None:
        raise mistake(f"{value!r:.64} is not a duration", "write it like 90s, 10m, 720h, 47d or 1h30m")
    if duration < MINUTE:
        raise mistake(f"{value!r:.64} is too short", "allow at least 1m")
    return duration


# --------------------------------------------------------------------------------------------------------- challenges

#: A list or a word has no type in a structural schema, but it has few values. CEL does not see it.
_CHALLENGES_SCHEMA = {
    "x-kubernetes-preserve-unknown-fields": True,
    "enum": [
        "none",
        *(list(some) for count in range(len(CHALLENGES) + 1) for some in itertools.permutations(CHALLENGES, count)),
    ],
}


def _check_challenges(value: object) -> object:
    if value == "none" or value is None:
        return value
    if not isinstance(value, list) or not all(one in CHALLENGES for one in value if isinstance(one, str)):
        raise mistake(f"{value!r:.100} is not accepted", f"use none, or a list of {', '.join(CHALLENGES)}")
    if not all(isinstance(one, str) for one in value) or len(set(value)) != len(value):
        raise mistake(f"{value!r:.100} is not accepted", "name each challenge once, as text")
    return value


# -------------------------------------------------------------------------------------------------------------- others


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    def check(text: str) -> str:
        if text not in known:
            raise mistake(f"{text[:64]!r} is not known", f"use one of {', '.join(known)}")
        return text

    return AfterValidator(check)


def _choice(known: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "maxLength": 64, "enum": list(known)})


def _matching(pattern: re.Pattern[str], message: str, fix: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.match(text):
            raise mistake(f"{text[:64]!r} is not {message}", fix)
        return text

    return AfterValidator(check)


def _not_supported(value: object) -> None:
    if value not in (None, False):
        raise mistake("is not supported in this version", "remove the key; nothing would enforce it")


def _only_true(value: bool | None) -> bool | None:
    """`false` asks for nothing, as an absent key does."""
    return value or None


_KEYS = tuple(sorted(one.value for one in LEAF_ALGORITHMS))
Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Texts = Annotated[list[Text], Field(max_length=MAX_CHOICES)]
Labels = Annotated[dict[Text, Text], Field(max_length=MAX_CHOICES)]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Globs = Annotated[list[Glob], Field(max_length=MAX_ENTRIES)]
Name = Annotated[str, AfterValidator(_check_pattern), WithJsonSchema(_NAME_SCHEMA)]
Names = Annotated[list[Name], Field(max_length=MAX_ENTRIES)]
DeniedName = Annotated[str, AfterValidator(_check_denied), WithJsonSchema(_DENIED_SCHEMA)]
DeniedNames = Annotated[list[DeniedName], Field(max_length=MAX_ENTRIES)]
Network = Annotated[str, AfterValidator(_check_network), WithJsonSchema(_NETWORK_SCHEMA)]
Networks = Annotated[list[Network], Field(max_length=MAX_ENTRIES)]
Keys = Annotated[list[Annotated[str, _one_of(_KEYS), _choice(_KEYS)]], Field(max_length=MAX_CHOICES)]
Usages = Annotated[list[Annotated[str, _one_of(USAGES), _choice(USAGES)]], Field(max_length=MAX_CHOICES)]
Maximum = Annotated[int, BeforeValidator(_check_duration), WithJsonSchema(_DURATION_SCHEMA)]
Challenges = Annotated[Any, BeforeValidator(_check_challenges), WithJsonSchema(_CHALLENGES_SCHEMA)]
Unsupported = Annotated[Any, BeforeValidator(_not_supported)]
Truth = Annotated[bool | None, AfterValidator(_only_true)]
Group = Annotated[
    str,
    _matching(_DNS_LABEL, "a group of approvers", "name one of the setting approvers"),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$"}),
]
PolicyName = Annotated[str, _matching(_POLICY_NAME, "a policy's name", "use lower-case letters, digits, '-' and '.'")]
Namespace = Annotated[str, _matching(_DNS_LABEL, "a namespace", "name one namespace: lower-case letters, digits, '-'")]
