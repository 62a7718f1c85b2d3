"""The chart's alerts, judged by Prometheus' own tool: each fires when it should, and is silent when all is well."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.rendering import one, template
from tests.support.software import program

FROM = 'namespace="acme-ra",service="acme-ra",endpoint="metrics"'


def _requests(route: str, status: int, growth: str, problem: str = "") -> tuple[str, str]:
    labels = f'{FROM},route="{route}",method="POST",status="{status}",problem="{problem}"'
    return f"acme_ra_requests_total{{{labels}}}", growth


def _seconds(route: str, limit: str, growth: str) -> tuple[str, str]:
    return f'acme_ra_request_seconds_bucket{{{FROM},route="{route}",le="{limit}"}}', growth


UP = (f"up{{{FROM}}}", "1x60")
KNOWN = (f'acme_ra_policies_known{{{FROM},cluster="main"}}', "1x60")


def _resources(accepted: str, count: str) -> tuple[str, str]:
    return f'acme_ra_policy_resources{{{FROM},cluster="main",accepted="{accepted}"}}', count


# A server at work: probes, quick finalizations, and somebody who asks for a name of another's now and then.
WELL = [
    UP,
    KNOWN,
    _resources("true", "7x60"),
    _resources("false", "0x60"),
    _requests("readyz", 200, "0+12x60"),
    _requests("finalize", 200, "0+60x60"),
    _requests("newOrder", 403, "0+1x60", "rejectedIdentifier"),
    _requests("newOrder", 503, "0+1x60", "rateLimited"),
    *(_seconds("finalize", limit, "0+60x60") for limit in ("0.1", "1", "2.5", "5", "+Inf")),
]


@dataclass(frozen=True)
class Trouble:
    """What is counted, one value a minute, and the alert that it leads to."""

    alert: str
    severity: str
    series: list[tuple[str, str]]
    shown: str = ""  # what stands in the summary instead of its placeholder
    labels: dict[str, str] = field(default_factory=dict)
    count: str = ""


TROUBLES = [
    Trouble("AcmeRADown", "critical", [(f"up{{{FROM}}}", "1x5 0x55")]),
    Trouble("AcmeRANotReady", "critical", [UP, _requests("readyz", 503, "0+12x60")]),
    Trouble(
        "AcmeRAFailures",
        "warning",
        [*WELL, _requests("newOrder", 500, "0x50 1x10", "serverInternal")],
        "newOrder",
        {"route": "newOrder"},
    ),
    Trouble(  # the first one of this server
        "AcmeRAFailures",
        "warning",
        [*WELL, _requests("finalize", 500, "_x50 1x10", "serverInternal")],
        "finalize",
        {"route": "finalize"},
    ),
    Trouble(
        "AcmeRAUnavailable",
        "warning",
        [UP, _requests("finalize", 200, "0+60x60"), _requests("authorization", 503, "0+20x60", "serverInternal")],
        "25%",
    ),
    Trouble(
        "AcmeRASlow",
        "warning",
        [UP, _seconds("finalize", "2.5", "0+50x60"), _seconds("finalize", "5", "0+60x60"),
         _seconds("finalize", "+Inf", "0+60x60")],
        "4.85s",
    ),
    Trouble(
        "AcmeRAManyRefusals",
        "info",
        [UP, _requests("newOrder", 403, "0+5x60", "rejectedIdentifier")],
        "290",
    ),
    Trouble(
        "AcmeRAPoliciesUnknown",
        "critical",
        [UP, (KNOWN[0], "1x5 0x55")],
        "main",
        {"cluster": "main"},
    ),
    Trouble(
        "AcmeRAPolicyRejected",
        "warning",
        [UP, KNOWN, _resources("true", "7x60"), _resources("false", "0x5 2x55")],
        "main",
        {"cluster": "main"},
        count="2",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as a file of Prometheus."""
    folder = tmp_path_factory.mktemp("rules")
    on = ("--set", "metrics.prometheusRule.enabled=true")
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(one(template(home=folder, more=on), "PrometheusRule")["spec"]))
    return file


def test_the_rules_are_rules(rules: Path) -> None:
    done = _promtool("check", "rules", rules)

    assert done.returncode == 0, done.stderr
    assert f"{len(_all(rules))} rules found" in done.stdout


def test_no_alert_fires_while_all_is_well(rules: Path, tmp_path: Path) -> None:
    _fire(rules, WELL, None, tmp_path)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.alert)
def test_trouble_is_told(trouble: Trouble, rules: Path, tmp_path: Path) -> None:
    """The alert for it fires with its numbers filled in, and no other does."""
    _fire(rules, trouble.series, trouble, tmp_path)


def test_every_alert_has_its_trouble(rules: Path) -> None:
    assert [rule["alert"] for rule in _all(rules)] == list(dict.fromkeys(trouble.alert for trouble in TROUBLES))


def _fire(rules: Path, series: list[tuple[str, str]], trouble: Trouble | None, folder: Path) -> None:
    """Let an hour pass; Prometheus must fire exactly the alert of the trouble, if there is one."""
    expected = [
        {
            "eval_time": "58m",
            "alertname": rule["alert"],
            "exp_alerts": [_expected(rule, trouble)] if trouble and rule["alert"] == trouble.alert else [],
        }
        for rule in _all(rules)
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "alert_rule_test": expected,
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    done = _promtool("test", "rules", file)

    assert done.returncode == 0, done.stdout + done.stderr


def _expected(rule: Any, trouble: Trouble) -> Any:
    told = {"{{ $value | humanize }}": trouble.count} if trouble.count else {}
    annotations = {
        name: re.sub(r"{{.*?}}", lambda found: told.get(found[0], trouble.shown), text)
        for name, text in rule["annotations"].items()
    }
    return {"exp_labels": {"severity": trouble.severity, **trouble.labels}, "exp_annotations": annotations}


def _all(rules: Path) -> list[Any]:
    found: list[Any] = yaml.safe_load(rules.read_text())["groups"][0]["rules"]
    return found


def _promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [program("promtool"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
