"""Policy documents, good and bad: files and Kubernetes resources must agree about each of them."""

from typing import Any, NamedTuple

from tests.support.policies import grant, guard, local


class Case(NamedTuple):
    """`good`: for the model. `api`: for the API server, where it cannot see what is wrong; otherwise the same."""

    name: str
    document: dict[str, Any]
    good: bool
    api: bool
    says: str = ""  # part of the API server's reason


def good(name: str, document: dict[str, Any]) -> Case:
    return Case(name, document, good=True, api=True)


def bad(name: str, document: dict[str, Any], says: str = "") -> Case:
    return Case(name, document, good=False, api=False, says=says)


def unseen(name: str, document: dict[str, Any]) -> Case:
    """The API server takes it, and acme-ra refuses it."""
    return Case(name, document, good=False, api=True)


def _names(*texts: Any) -> dict[str, Any]:
    return grant(allowed={"dnsNames": list(texts)})


def _denied(*texts: Any) -> dict[str, Any]:
    return guard(denied={"dnsNames": list(texts)})


def _networks(*texts: Any) -> dict[str, Any]:
    return grant(allowed={"ipAddresses": list(texts)})


def _duration(text: Any) -> dict[str, Any]:
    return guard(constraints={"maxDuration": text})


def _selecting(**selector: Any) -> dict[str, Any]:
    return guard(selector=selector, constraints={"maxDuration": "1d"})


def _without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {**document, "spec": {key: value for key, value in document["spec"].items() if key not in keys}}


FULL: dict[str, Any] = {
    "mode": "shadow",
    "selector": {
        "clusters": ["prod-*"],
        "namespaces": {"matchNames": ["shop-*"], "matchLabels": {"team": "shop"}},
        "directories": ["internal"],
        "credentials": ["ci"],
        "profiles": ["*"],
    },
    "allowed": {
        "dnsNames": ["{namespace}.apps.example.com", "*.{label:app.kubernetes.io/name}.svc", "**.{cluster}.internal"],
        "wildcards": True,
        "ipAddresses": ["10.0.0.0/8", "::1"],
        "usages": ["server auth"],
    },
    "constraints": {"maxDuration": "1h30m", "keys": ["ecdsa-p256", "rsa-3072"]},
    "require": {
        "challenges": ["http-01", "dns-01"],
        "rules": [{"expression": "request.dnsNames.size() <= 10", "message": "at most ten names"}],
        "routed": True,
        "approval": "security",
    },
    "authority": "intermediate",
    "profile": "default",
    "profiles": ["default", "short"],
}
_LOCAL = {key: value for key, value in FULL.items() if key not in ("authority", "profile", "selector")}
_RULE = {"expression": "true", "message": "no"}

NAMES = [
    *(
        good(f"name {text}", _names(text))
        for text in (
            "shop", "a.example.com", "*", "*.svc", "**.svc", "web-*.svc", "*-web.svc", "a.*.svc", "{namespace}",
            "{namespace}-{cluster}.svc", "x{label:a}y.svc", "**.{label:kubernetes.io/metadata.name}", "*-*.svc",
            "a" * 63, ".".join(["a" * 63] * 3), "**.*.svc", "{label:a-.b}.svc", "0.1", "xn--a.example",
        )
    ),
    *(
        bad(f"name {text[:30]!a}", _names(text))
        for text in (
            "", ".", "a.", ".a", "a..b", "-a", "a-", "a-.b", "a.-b", "**", "***.a", "a**.b", "a.**.b", "**a.b", "**..a",
            "Shop", "a_b", "a b", "ä.example", "{}", "{Namespace}", "{label:}", "{label:-a}", "{namespace", "}", "{a}",
            "{{namespace}}", "a" * 64, "a" * 64 + ".{namespace}", "a.\n", "a\n", "*.{namespace}." + "a" * 250, "a/b",
        )
    ),
    bad("name of another type", _names(1)),
    bad("names of another type", grant(allowed={"dnsNames": "a.example.com"})),
    bad("too many names", _names(*(f"a{index}" for index in range(1001)))),
    good("denied name", _denied("**.svc", "admin.*.svc", "*")),
    bad("denied placeholder", _denied("{namespace}.svc"), "may not have placeholders"),
    bad("denied nonsense", _denied("a..b"), "has a label that is empty"),
]  # fmt: skip
ADDRESSES = [
    *(
        good(f"network {text}", _networks(text))
        for text in ("10.0.0.0/8", "192.0.2.1", "0.0.0.0/0", "::/0", "::1", "2001:DB8::/32", "fe80::/64")
    ),
    *(
        bad(f"network {text!a}", _networks(text), says)
        for text, says in (
            ("", ""), ("10.0.0.1/8", "host bits"), ("10.0.0.0/33", ""), ("10.0.0.0/08", ""), ("10.0.0", ""),
            ("10.0.0.0/255.0.0.0", ""), ("::ffff:10.0.0.1", ""), ("::ffff:0:0/96", ""), ("fe80::1%eth0", ""),
            ("010.0.0.1", ""), ("a.example.com", ""), ("10.0.0.0/8 ", ""), ("1::/129", ""), ("x" * 60, ""),
        )
    ),
    good("denied network", guard(denied={"ipAddresses": ["169.254.0.0/16"]})),
]  # fmt: skip
DURATIONS = [
    *(good(f"duration {text}", _duration(text)) for text in ("60s", "1m", "90s", "1d2h3m4s", "0h1m", "0060s", "24h0m")),
    *(
        bad(f"duration {text!a}", _duration(text), says)
        for text, says in (
            ("59s", "too short"), ("0m59s", "too short"), ("0d", "too short"), ("", ""), ("1w", ""), ("1.5h", ""),
            ("-1h", ""), ("1h ", ""), ("1m1h", ""), ("1" * 40 + "s", ""), (60, ""), ("\uff11h", ""), ("1h\n", ""),
        )
    ),
]  # fmt: skip
GRANTS = [
    good("a grant with everything", grant(**FULL)),
    good("a grant of addresses only", _networks("10.0.0.0/8")),
    good("a grant that gives an empty list", grant(allowed={"dnsNames": []})),
    good("a grant that selects nothing", grant(selector={"clusters": [], "namespaces": {}})),
    good("a grant whose workload is the proof", grant(require={"challenges": "none"})),
    good("a grant with null keys", grant(selector=None, require={"challenges": None, "routed": None})),
    good("a grant with a profile", grant(profile="short")),
    bad("a grant without names", _without(grant(), "allowed"), "allows no name"),
    bad("a grant of nothing", grant(allowed={}), "allows no name"),
    bad("a grant of usages only", grant(allowed={"usages": ["server auth"]}), "allows no name"),
    bad("a grant that denies", grant(denied={"dnsNames": ["a"]}), "a grant cannot deny"),
    bad("a grant that denies nothing", grant(denied={}), "a grant cannot deny"),
    bad("a profile that is not among profiles", grant(profile="a", profiles=["b"]), "not among profiles"),
    bad("no effect", _without(grant(), "effect"), "effect"),
    bad("an unknown effect", {**grant(), "spec": {**grant()["spec"], "effect": "allow"}}, "grant"),
    bad("an unknown mode", grant(mode="audit"), "shadow"),
    bad("an empty profile", grant(profile="")),
]
GUARDS = [
    good("a guard with the keys of one", guard(**_LOCAL, selector=FULL["selector"])),
    good("a guard of challenges only", guard(require={"challenges": ["dns-01"]})),
    good("a guard that accepts no challenge", guard(require={"challenges": []})),
    good("a guard of rules only", guard(require={"rules": [_RULE]})),
    good("a guard of routes only", guard(require={"routed": True})),
    good("a guard of an approval only", guard(require={"approval": "security"})),
    good("a guard of profiles only", guard(profiles=["default"])),
    good("a guard that allows nothing", guard(allowed={"dnsNames": []})),
    good("a guard with an empty part beside another", guard(denied={}, profiles=["default"])),
    good("a guard for any request", guard(selector={}, profiles=["default"])),
    bad("a guard without checks", guard(), "checks nothing"),
    bad("a guard of empty parts", guard(allowed={}, denied={}, constraints={}, require={})),
    bad("a guard of nulls", guard(allowed=None, require={"challenges": None})),
    bad("a guard that asks for no routes only", guard(require={"routed": False})),
    bad("a guard that waives a proof", guard(require={"challenges": "none"})),
    bad("a guard that chooses a profile", guard(profile="a", profiles=["a"]), "cannot choose the profile"),
    bad("a guard that chooses an authority", guard(authority="a", profiles=["a"]), "cannot choose the authority"),
    *(bad(f"a guard with {key}: []", _selecting(**{key: []}), "empty selector")
      for key in ("clusters", "directories", "credentials", "profiles")),
    bad("a guard with matchNames: []", _selecting(namespaces={"matchNames": []}), "empty selector"),
    bad("a guard with matchLabels: {}", _selecting(namespaces={"matchLabels": {}}), "empty selector"),
    bad("a guard with namespaces: {}", _selecting(namespaces={}), "empty selector"),
    good("a guard of one namespace", _selecting(namespaces={"matchNames": ["shop"]})),
    bad("an empty glob", _selecting(clusters=[""])),
    bad("a label of another type", _selecting(namespaces={"matchLabels": {"a": True}})),
]  # fmt: skip
LOCALS = [
    good("a local guard with everything", local("shop", **_LOCAL)),
    good("a local guard that selects", local("shop", selector={"directories": ["internal"]}, profiles=["a"])),
    bad("a local guard without checks", local("shop"), "checks nothing"),
    bad("a local guard that selects nothing", local("shop", selector={"clusters": []}, profiles=["a"]), "empty"),
    bad("a local guard that waives a proof", local("shop", require={"challenges": "none"})),
    unseen("a local grant", local("shop", effect="grant", allowed={"dnsNames": ["**.svc"]})),
    unseen("a local guard of other namespaces", local("shop", selector={"namespaces": {}}, profiles=["a"])),
    unseen("a local guard with a profile", local("shop", profile="a", profiles=["a"])),
]
OTHERS = [
    *(good(f"challenges {one}", guard(require={"challenges": one})) for one in (["tls-alpn-01", "http-01"], [])),
    *(bad(f"challenges {one}", grant(require={"challenges": one}))
      for one in ("any", "dns-01", ["none"], ["dns-02"], ["dns-01", "dns-01"], True, {}, [1], [["dns-01"]])),
    bad("an unknown key algorithm", guard(constraints={"keys": ["dsa"]})),
    bad("an unknown usage", guard(allowed={"usages": ["everything"]})),
    bad("too many usages", guard(allowed={"usages": ["server auth"] * 101})),
    bad("text for a truth", grant(allowed={"dnsNames": ["a"], "wildcards": "true"})),
    bad("a list for a part", grant(selector=[])),
    bad("a rule without a message", guard(require={"rules": [{"expression": "true"}]}), "message"),
    bad("a rule with an empty expression", guard(require={"rules": [{"expression": "", "message": "m"}]})),
    bad("a rule with a line break in its message", guard(require={"rules": [{**_RULE, "message": "a\nb"}]})),
    bad("a long expression", guard(require={"rules": [{**_RULE, "expression": "true" + " " * 1000}]})),
    bad("too many rules", guard(require={"rules": [_RULE] * 21})),
    bad("an approval by nobody", guard(require={"approval": ""})),
    bad("an approval by an impossible group", guard(require={"approval": "Security Team"})),
    bad("no spec", {**guard(), "spec": None}),
    unseen("a rule that does not compile", guard(require={"rules": [{**_RULE, "expression": "request.nothing"}]})),
    unseen("a rule that is no condition", guard(require={"rules": [{**_RULE, "expression": "1 + 1"}]})),
    unseen("an unknown key", guard(profiles=["a"], denyed={"dnsNames": ["a"]})),
    unseen("an unknown key of a part", guard(profiles=["a"], denied={"names": ["a"]})),
    unseen("an unknown key of a rule", guard(require={"rules": [{**_RULE, "messages": "m"}]})),
    unseen("an unknown key beside spec", {**guard(profiles=["a"]), "denied": {"dnsNames": ["a"]}}),
    unseen("a quota", guard(profiles=["a"], quota={"certificates": 50, "per": "168h"})),
    unseen("a label without a key", _selecting(namespaces={"matchLabels": {"": "a"}})),
    unseen("a label too long with a placeholder", _names("a" * 40 + "{namespace}" + "b" * 40)),
]  # fmt: skip
CASES = [*NAMES, *ADDRESSES, *DURATIONS, *GRANTS, *GUARDS, *LOCALS, *OTHERS]
