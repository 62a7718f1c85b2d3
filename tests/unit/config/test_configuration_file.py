"""The configuration file: every mistake with its line, its key and the fix."""

from pathlib import Path

import pytest
import yaml

from acme_ra.config import Configuration, ConfigurationInvalid, load_configuration
from acme_ra.config.schema import keys_of, kinds_at

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = (ROOT / "config" / "acme-ra.yaml").read_text("utf-8").replace("../data/", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file that the example names; contents are not looked at here."""
    names = ["tls/server.pem", "tls/server.key", "secrets/master.key", "secrets/intermediate.passphrase"]
    for name in [*names, "ca/intermediate.pem", "ca/root.pem", "ca/intermediate.key", "policies/a.yaml"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> Configuration:
    path = folder / "acme-ra.yaml"
    path.write_text(text, "utf-8")
    return load_configuration(path, environment or {})


def mistakes(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationInvalid) as caught:
        load(folder, text, environment)
    return [str(mistake).removeprefix(f"{folder}/") for mistake in caught.value.mistakes]


def test_the_example_is_valid_and_its_relative_paths_start_at_the_file(folder: Path) -> None:
    """config/acme-ra.yaml is what quickstart copies."""
    configuration = load(folder, EXAMPLE)

    assert configuration.storage.path == folder / "acme-ra.sqlite"
    assert configuration.authorities["intermediate"].chain == folder / "ca" / "root.pem"
    assert list(configuration.directories["default"].profiles) == ["default", "shortlived"]


def test_every_commented_key_of_the_example_exists() -> None:
    """Whoever removes the `#` must not get an unknown key."""
    section, checked = "", 0
    for line in EXAMPLE.splitlines():
        if line and not line.startswith((" ", "#")):
            section = line.partition(":")[0]
        if line.startswith("  # ") and ":" in line and section in keys_of((Configuration,)):
            key = line.removeprefix("  # ").partition(":")[0]
            if key.replace("_", "").isalnum():
                assert key in keys_of(kinds_at((Configuration,), (section,))), line
                checked += 1
    assert checked >= 10


def test_off_is_text_and_not_false(folder: Path) -> None:
    """YAML 1.1 reads `off` as false; `caa: off` must mean what it says."""
    assert load(folder, EXAMPLE).directories["default"].caa == "off"


def test_all_mistakes_are_told_at_once_with_line_key_and_fix(folder: Path) -> None:
    """A typo in a key, one in a word, a wrong number and a missing section: four places, one run."""
    broken = EXAMPLE.replace("  listen:", "  listn:").replace("level: info", "level: inof")
    broken = broken.replace("storage:\n  path: acme-ra.sqlite\n", "").replace("validity: 6d", "validity: six")
    lines = broken.splitlines()

    told = mistakes(folder, broken)

    assert len(told) == 4
    assert f"acme-ra.yaml:{_line(lines, 'listn')}: server.listn: unknown key; did you mean 'listen'?" in told
    assert any(
        "logging.level: 'inof' is not one of debug, info" in one and "did you mean 'info'?" in one for one in told
    )
    assert any("profiles.shortlived.validity: 'six' is not a duration; write it like" in one for one in told)
    assert any("storage: is missing; add `storage:`" in one for one in told)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("authorities: [intermediate]", "authorities: [intermediat]", "did you mean 'intermediate'?"),
        ("      shortlived: 6 days", "      shortlved: 6 days", "did you mean 'shortlived'?"),
        ("caa: off", "caa: on", "caa_identities"),
        ("listen: 127.0.0.1:14000", "listen: 0.0.0.0:14000", "set server.external_url"),
        ("listen: 127.0.0.1:14000", "listen: 127.0.0.1", "is not HOST:PORT"),
        ("# external_url: https://ra.example.com", "external_url: http://ra", "is not an https origin"),
        ("# external_url: https://ra.example.com", "external_url: https://ra/x", "is not an https origin"),
        ("certificate: tls/server.pem", "certificate: tls/missing.pem", "there is no file"),
        ("path: acme-ra.sqlite", "path: away/acme-ra.sqlite", "does not exist"),
        ("allowed_networks: []", "allowed_networks: [10.0.0.0/33]", "is not a network"),
        ("metrics: {}", "metrics: {listen: '127.0.0.1:14000'}", "is the server's own endpoint"),
        ("profiles:\n  default:", "profiles:\n  De_fault:", "De_fault"),
        (
            "clusters: {}",
            "clusters: {prod: {}}",
            "clusters.prod: does not say how the cluster is reached; add",
        ),
        ("clusters: {}", "clusters: {prod: {kubeconfg: a}}", "did you mean 'kubeconfig'?"),
        ("clusters: {}", "clusters: {prod: {kubeconfig: a, in_cluster: true}}", "keep one of them"),
        ("clusters: {}", "clusters: {prod: {kubeconfig: none}}", "clusters.prod.kubeconfig: there is no file"),
        ("    # clusters: [prod]", "    clusters: [prod]", "there is no cluster called 'prod'; there are: none"),
    ],
)
def test_contradictions_are_told(folder: Path, old: str, new: str, expected: str) -> None:
    """Names that are not there, files that are missing, values that cannot be meant."""
    assert old in EXAMPLE
    assert any(expected in told for told in mistakes(folder, EXAMPLE.replace(old, new)))


def test_a_key_that_stands_twice_is_a_mistake(folder: Path) -> None:
    """YAML would take the last one silently."""
    assert any("stands twice, first in line" in told for told in mistakes(folder, EXAMPLE + "\norders: {}\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "not valid YAML"),
        ("- a\n- b\n", "not a mapping"),
        ("a: !!python/object/apply:os.system ['true']\n", "unknown key"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("", "is missing"),
        ("\x00", "not valid YAML"),
    ],
)
def test_what_is_no_configuration_is_refused_without_a_traceback(folder: Path, text: str, expected: str) -> None:
    """Broken syntax, tags that would run code, recursion, an empty file."""
    assert any(expected in told for told in mistakes(folder, text))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The first thing that a new user sees without --config."""
    with pytest.raises(ConfigurationInvalid, match="acme-ra quickstart"):
        load_configuration(tmp_path / "none.yaml", {})


def test_a_secret_value_is_not_repeated_in_a_mistake(folder: Path) -> None:
    """Somebody writes the passphrase where its file belongs."""
    text = EXAMPLE.replace("passphrase_file: secrets/intermediate.passphrase", "passphrase_env: [hunter2]")

    told = "\n".join(mistakes(folder, text.replace("key_file:", "secret: hunter3 #")))

    assert "hunter" not in told


def test_environment_variables_override_and_are_named_in_mistakes(folder: Path) -> None:
    """Lists are comma separated or YAML, text stays text, names in mappings are found as the file spells them."""
    configuration = load(
        folder,
        EXAMPLE.replace("  shortlived:\n", "  short-lived:\n").replace("      shortlived:", "      short-lived:"),
        {
            "ACME_RA_VALIDATION__RESOLVERS": "127.0.0.1:53, 127.0.0.2:53",
            "ACME_RA_VALIDATION__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
            "ACME_RA_VALIDATION__HTTP_PORT": "8080",
            "ACME_RA_DIRECTORIES__DEFAULT__EXTERNAL_ACCOUNT_REQUIRED": "false",
            "ACME_RA_PROFILES__SHORT_LIVED__VALIDITY": "2d",
            "ACME_RA_AUTHORITIES__INTERMEDIATE__PASSPHRASE_FILE": "secrets/master.key",
            "ACME_RA_SERVICE_HOST": "10.0.0.1",
            "ACME_RA_CLUSTERS__PROD__IN_CLUSTER": "true",
            "ACME_RA_CLUSTERS__PROD__EVENTS": "true",
            "ACME_RA_CONFIG": "elsewhere",
        },
    )

    assert configuration.validation.resolvers == ["127.0.0.1:53", "127.0.0.2:53"]
    assert [str(network) for network in configuration.validation.allowed_networks] == ["127.0.0.0/8"]
    assert configuration.validation.http_port == 8080
    assert configuration.clusters["prod"].events
    assert configuration.directories["default"].external_account_required is False
    assert configuration.profiles["short-lived"].validity == 2 * 86_400_000
    assert configuration.authorities["intermediate"].passphrase_file == folder / "secrets/master.key"


def test_unknown_variables_are_mistakes_with_a_guess(folder: Path) -> None:
    """A typo in a variable must not be ignored in silence."""
    told = mistakes(folder, EXAMPLE, {"ACME_RA_VALIDATION__HTP_PORT": "80", "ACME_RA_SEVER__LISTEN": "x"})

    assert told == [
        "environment variable ACME_RA_SEVER__LISTEN: names no setting; did you mean ACME_RA_SERVER?",
        "environment variable ACME_RA_VALIDATION__HTP_PORT: names no setting; "
        "did you mean ACME_RA_VALIDATION__HTTP_PORT?",
    ]


def test_a_wrong_value_in_a_variable_names_the_variable(folder: Path) -> None:
    """Not a line of the file, which is innocent."""
    told = mistakes(folder, EXAMPLE, {"ACME_RA_SERVER__WORKERS": "many", "ACME_RA_METRICS__LISTEN": "x"})

    assert "environment variable ACME_RA_SERVER__WORKERS: server.workers: 'many' is not a whole number" in told[1]
    assert "environment variable ACME_RA_METRICS__LISTEN: metrics.listen: 'x' is not HOST:PORT" in told[0]


def test_the_readme_names_every_section() -> None:
    """README's table is the overview of the file."""
    readme = (ROOT / "README.md").read_text("utf-8")

    assert [name for name in keys_of((Configuration,)) if f"| `{name}` |" not in readme] == []
    assert yaml.safe_load(EXAMPLE.replace("off", "'off'")).keys() == set(keys_of((Configuration,)))


def _line(lines: list[str], word: str) -> int:
    return next(number for number, line in enumerate(lines, 1) if word in line)


def test_an_order_must_live_as_long_as_it_may_wait(folder: Path) -> None:
    """Else people would be asked about what ends before they answer; without approvers nobody is asked."""
    short = EXAMPLE.replace("orders: {}", "orders:\n  order_lifetime: 1h")
    load(folder, short)

    (told,) = mistakes(folder, short.replace("approvers: {}", "approvers: {security: [anna]}"))

    assert "orders.approval_timeout: is 1d, but an order lives for 1h" in told


@pytest.mark.parametrize("groups", ["{security: []}", "{Security Team: [anna]}", "{security: [anna b]}"])
def test_a_group_of_approvers_has_a_name_and_people(folder: Path, groups: str) -> None:
    (told,) = mistakes(folder, EXAMPLE.replace("approvers: {}", f"approvers: {groups}"))

    assert "approvers" in told
