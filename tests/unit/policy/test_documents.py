"""Reading policy documents: what is accepted, and what every mistake is told as."""

from pathlib import Path

import pytest

from acme_ra.policy.documents import load_policies, parse_policies
from acme_ra.policy.errors import PolicyErrors, PolicyMistake
from acme_ra.policy.yaml_source import SourceError, read_documents

GOOD = """\
apiVersion: policy.acme-ra.dev/v1alpha1
kind: ClusterIssuancePolicy
metadata: {name: shop, labels: {a: b}, annotations: {c: d}}
spec:
  effect: grant
  mode: shadow
  selector:
    clusters: ["prod-*"]
    namespaces: {matchNames: ["shop-*"], matchLabels: {team: shop}}
    directories: [internal]
    credentials: []
    profiles: [default]
  allowed:
    dnsNames: ["{namespace}.apps.example.com", "*.{namespace}.svc.cluster.local"]
    wildcards: false
    ipAddresses: []
    usages: [server auth]
  constraints: {maxDuration: 720h, keys: [ecdsa-p256, ecdsa-p384, rsa-3072]}
  require:
    challenges: [http-01, dns-01]
    routed: false
    approval: null
    rules: [{expression: "request.dnsNames.size() <= 10", message: "at most ten names"}]
  quota: null
  authority: intermediate
  profile: default
"""


def mistakes(text: str) -> list[PolicyMistake]:
    with pytest.raises(PolicyErrors) as caught:
        parse_policies([("p.yaml", text.encode())])
    return caught.value.mistakes


def spec(lines: str, *, kind: str = "ClusterIssuancePolicy") -> str:
    head = f"kind: {kind}\nmetadata:\n  name: a\n" + ("  namespace: shop\n" if kind == "IssuancePolicy" else "")
    return head + "spec:\n" + lines


def test_the_whole_schema_is_read() -> None:
    (policy,) = parse_policies([("good.yaml", GOOD.encode())]).policies

    assert (policy.name, policy.effect, policy.mode, policy.profile) == ("shop", "grant", "shadow", "default")
    assert policy.maximum == 720 * 3600 * 1000


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("kind: Nope\nmetadata: {name: a}\n", 1, "kind", "'Nope' is not known"),
        ("metadata: {name: a}\n", 1, "kind", "is missing"),
        ("- a\n- b\n", 1, "kind", "is missing"),
        ("apiVersion: v2\n" + spec("  effect: guard\n  denied: {dnsNames: [a.b]}\n"), 1, "apiVersion", "is not known"),
        (spec("  effect: guard\n  denyed: {}\n  denied: {dnsNames: [a.b]}\n"), 6, "spec.denyed", "is an unknown key"),
        (spec("  effect: allow\n"), 5, "spec.effect", "is not known"),
        (spec("  effect: grant\n"), 4, "spec.allowed", "allows no name"),
        (spec("  effect: grant\n  allowed: {wildcards: true}\n"), 6, "spec.allowed", "allows no name"),
        (
            spec("  effect: grant\n  allowed:\n    dnsNames:\n    - ok.test\n    - A.test\n"),
            9,
            "spec.allowed.dnsNames[1]",
            "lower case",
        ),
        (spec("  effect: grant\n  allowed: {dnsNames: a.test}\n"), 6, "spec.allowed.dnsNames", "must be a list"),
        (
            spec("  effect: grant\n  allowed: {dnsNames: [a.test], wildcards: yes}\n"),
            6,
            "spec.allowed.wildcards",
            "true or false",
        ),
        (
            spec("  effect: grant\n  allowed: {ipAddresses: [10.0.0.1/8]}\n"),
            6,
            "spec.allowed.ipAddresses[0]",
            "host bits",
        ),
        (
            spec("  effect: grant\n  allowed: {ipAddresses: ['::ffff:0:0/96']}\n"),
            6,
            "spec.allowed.ipAddresses[0]",
            "IPv4-mapped",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: [], usages: [serverAuth]}\n"),
            6,
            "spec.allowed.usages[0]",
            "is not known",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  constraints: {keys: [ecdsa-p521]}\n"),
            7,
            "spec.constraints.keys[0]",
            "is not known",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  constraints: {maxDuration: 720}\n"),
            7,
            "spec.constraints.maxDuration",
            "not a duration",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  constraints: {maxDuration: 5s}\n"),
            7,
            "spec.constraints.maxDuration",
            "too short",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  require: {challenges: [dns-02]}\n"),
            7,
            "spec.require.challenges",
            "not accepted",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  require: {challenges: any}\n"),
            7,
            "spec.require.challenges",
            "not accepted",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  require: {routed: everywhere}\n"),
            7,
            "spec.require.routed",
            "must be true or false",
        ),
        (
            spec("  effect: guard\n  require: {routed: false}\n"),
            4,
            "spec",
            "checks nothing",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  require: {approval: Sec Team}\n"),
            7,
            "spec.require.approval",
            "is not a group of approvers",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  require: {approval: true}\n"),
            7,
            "spec.require.approval",
            "must be text",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  quota: {certificates: 5}\n"),
            7,
            "spec.quota",
            "not supported in this version",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  denied: {dnsNames: [a.b]}\n"),
            7,
            "spec.denied",
            "a grant cannot deny",
        ),
        (
            spec("  effect: grant\n  allowed: {dnsNames: []}\n  profile: a\n  profiles: [b]\n"),
            7,
            "spec.profile",
            "not among profiles",
        ),
        (spec("  effect: guard\n"), 4, "spec", "checks nothing"),
        (
            spec("  effect: guard\n  selector: {credentials: []}\n  denied: {dnsNames: [a.b]}\n"),
            6,
            "spec.selector.credentials",
            "matches no request",
        ),
        (
            spec("  effect: guard\n  selector: {namespaces: {matchNames: []}}\n  denied: {dnsNames: [a.b]}\n"),
            6,
            "spec.selector.namespaces.matchNames",
            "matches no request",
        ),
        (
            spec("  effect: guard\n  denied: {dnsNames: ['{namespace}.b']}\n"),
            6,
            "spec.denied.dnsNames[0]",
            "placeholders",
        ),
        (spec("  effect: guard\n  require: {challenges: none}\n"), 6, "spec.require.challenges", "cannot waive"),
        (spec("  effect: guard\n  denied: {dnsNames: [a.b]}\n  authority: x\n"), 7, "spec.authority", "cannot choose"),
        (
            spec("  effect: grant\n  allowed: {dnsNames: [a.b]}\n", kind="IssuancePolicy"),
            6,
            "spec.effect",
            "always a guard",
        ),
        (
            spec("  selector: {namespaces: {matchNames: [pay]}}\n  denied: {dnsNames: [a.b]}\n", kind="IssuancePolicy"),
            6,
            "spec.selector.namespaces",
            "its own namespace",
        ),
        (
            "kind: IssuancePolicy\nmetadata: {name: a}\nspec: {denied: {dnsNames: [a.b]}}\n",
            2,
            "metadata.namespace",
            "is missing",
        ),
        (
            "kind: IssuancePolicy\nmetadata: {name: a, namespace: '*'}\nspec: {denied: {dnsNames: [a.b]}}\n",
            2,
            "metadata.namespace",
            "not a namespace",
        ),
        (
            "kind: ClusterIssuancePolicy\nmetadata: {name: a, namespace: b}\n"
            "spec: {effect: guard, denied: {dnsNames: [a.b]}}\n",
            2,
            "metadata.namespace",
            "has no namespace",
        ),
        (
            "kind: ClusterIssuancePolicy\nmetadata: {name: A/b}\nspec: {effect: guard, denied: {dnsNames: [a.b]}}\n",
            2,
            "metadata.name",
            "not a policy's name",
        ),
        (
            "kind: ClusterIssuancePolicy\nmetadata: {name: 7}\nspec: {effect: guard, denied: {dnsNames: [a.b]}}\n",
            2,
            "metadata.name",
            "must be text",
        ),
        (spec("  effect: guard\n  denied: {dnsNames: [a.b]}\n  mode: off\n"), 7, "spec.mode", "is not known"),
        (
            spec("  effect: guard\n  require: {rules: [{expression: 'true', message: \"a\\nb\"}]}\n"),
            6,
            "spec.require.rules[0].message",
            "characters",
        ),
    ],
)
def test_each_mistake_is_told_with_its_place(text: str, line: int, key: str, message: str) -> None:
    """File, line, key, what is wrong, and a fix."""
    (found,) = mistakes(text)

    assert (found.file, found.line, found.key) == ("p.yaml", line, key)
    assert message in found.message
    assert found.fix


def test_all_mistakes_of_all_documents_are_told_together() -> None:
    """And a misspelled key is answered with the right one."""
    found = mistakes(spec("  efect: grant\n") + "---\n" + spec("  effect: guard\n  mode: on\n  denid: {}\n"))

    assert [(one.line, one.key) for one in found] == [
        (4, "spec.effect"),
        (5, "spec.efect"),
        (12, "spec.mode"),
        (13, "spec.denid"),
    ]
    assert "did you mean effect?" in found[1].fix
    assert str(found[3]).startswith("p.yaml:13: spec.denid: is an unknown key; did you mean denied? known here: mode")


def test_a_name_may_be_used_once() -> None:
    """Also across files; the same name in two namespaces is two names."""
    one = spec("  effect: guard\n  denied: {dnsNames: [a.b]}\n").encode()
    own = spec("  denied: {dnsNames: [a.b]}\n", kind="IssuancePolicy").encode()
    other = own.replace(b"shop", b"pay")

    with pytest.raises(PolicyErrors) as caught:
        parse_policies([("1.yaml", one), ("2.yaml", one)])

    assert str(caught.value) == (
        "2.yaml:3: metadata.name: ClusterIssuancePolicy a is already defined at 1.yaml:3; rename or remove one of them"
    )
    assert len(parse_policies([("1.yaml", one), ("2.yaml", own), ("3.yaml", other)])) == 3


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"a: &x 1\nb: *x\n", 1, "anchors and aliases"),
        (b"a: 1\nb: *x\n", 2, "anchors and aliases"),
        (b"a: !!python/object:os.system x\n", 1, "tags"),
        (b"a: 1\na: 2\n", 2, "occurs twice"),
        (b"? [a]\n: 1\n", 1, "plain text"),
        (b"a: [1\n", 2, "not YAML"),
        (b"a: \xff\n", 1, "UTF-8"),
        (b"a: \x00\n", 0, "characters"),
        (b"a:\n\t- b\n", 2, "not YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: bytes, line: int, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_documents(text)

    assert caught.value.line == line
    assert message in caught.value.message


def test_scalars_are_read_as_they_look() -> None:
    """YAML 1.2: `no` and `on` are text, `012` and `1:30` too."""
    (document,) = read_documents(b"a: [no, on, 012, 1:30, 7, -1.5, true, null, ~, '7', 720h, 2027-01-01, <<]\n")

    assert document.value == {
        "a": ["no", "on", "012", "1:30", 7, -1.5, True, None, None, "7", "720h", "2027-01-01", "<<"]
    }


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    """*.yaml and *.yml, no hidden files, nothing below; an empty folder is a set that denies everything."""
    assert len(load_policies(tmp_path)) == 0
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD.replace("name: shop", "name: b"))
    (tmp_path / "c.txt").write_text("nonsense: [")
    (tmp_path / ".d.yaml").write_text("nonsense: [")
    (tmp_path / "e.yaml").mkdir()

    assert [one.name for one in load_policies(tmp_path).policies] == ["b", "shop"]
    assert [one.name for one in load_policies(tmp_path / "a.yaml").policies] == ["shop"]


def test_a_missing_path_is_a_mistake(tmp_path: Path) -> None:
    """Not an empty set: that would be a surprise in either direction."""
    with pytest.raises(PolicyErrors, match="no such file or folder"):
        load_policies(tmp_path / "nowhere")


def test_the_digest_tells_what_is_said_and_not_how() -> None:
    """Comments, order, labels and file names do not count; every value does."""
    text = GOOD + "---\n" + GOOD.replace("name: shop", "name: b")
    turned = "# comment\n" + GOOD.replace("name: shop", "name: b").replace("a: b", "x: y") + "---\n" + GOOD
    changed = text.replace("720h", "721h")

    digests = [
        parse_policies([(name, one.encode())]).digest for name, one in zip("xyz", (text, turned, changed), strict=True)
    ]

    assert digests[0] == digests[1] != digests[2]
