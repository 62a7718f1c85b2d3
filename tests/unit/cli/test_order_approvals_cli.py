"""`acme-ra order list --waiting`, `approve` and `reject`: who, what they read, and exit codes."""

import asyncio
import pwd
from pathlib import Path

import msgspec
import pytest

from acme_ra.cli import order_approval
from acme_ra.cli.frame import Exit
from acme_ra.config import load_configuration
from acme_ra.core.clock import HOUR, SystemClock
from acme_ra.core.decision import NeededApproval
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Order
from acme_ra.core.request import Workload
from acme_ra.core.status import OrderStatus
from acme_ra.registration.approvals import make_ready, plan_approvals, subject_of
from acme_ra.storage.contract import Transaction
from acme_ra.storage.store import open_store
from tests.support.shell import Shell


@pytest.fixture(autouse=True)
def anna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is at the terminal, through sudo."""
    monkeypatch.setenv("SUDO_USER", "anna")


@pytest.fixture(scope="module", autouse=True)
def groups(data: Path) -> None:
    config = data / "acme-ra.yaml"
    text = config.read_text("utf-8")
    assert "approvers: {}" in text
    config.write_text(text.replace("approvers: {}", "approvers: {security: [anna, ben], leads: [cara]}"), "utf-8")


def place(data: Path, *groups: str, contact: str = "mailto:dev@example.test") -> int:
    """An order that waits for these groups."""
    needed = tuple(NeededApproval(f"policy-of-{group}", group) for group in groups)
    now = SystemClock().now()
    workload = Workload("credential", namespace="shop")

    def work(tx: Transaction) -> int:
        account = tx.insert_account(
            secret="a" * 16,
            directory="default",
            thumbprint=f"t{now}{groups}{contact}",
            jwk=b"{}",
            contacts=(contact,),
            credential_id=None,
            eab=None,
            now=now,
        )
        name = Identifier(IdentifierType.DNS, "web.shop.svc")
        row = tx.insert_order(
            secret="o" * 16,
            directory="default",
            account_id=account.id,
            status=OrderStatus.PENDING,
            identifiers=(name,),
            not_before=None,
            not_after=None,
            profile="",
            replaces="",
            workload=msgspec.json.encode(workload),
            now=now,
            expires_at=now + HOUR,
        )
        order = tx.order(row)
        assert isinstance(order, Order)
        plan_approvals(tx, row, needed)
        make_ready(tx, order, subject_of(order), now, timeout=HOUR)
        return row

    async def run() -> int:
        store = await open_store(load_configuration(data / "acme-ra.yaml", {}).storage, clock=SystemClock())
        try:
            return await store.transact(work)
        finally:
            await store.close()

    return asyncio.run(run())


def test_what_waits_is_listed_shown_and_approved(shell: Shell) -> None:
    """Each step says what it waits for; with the last approval the order is ready."""
    row = place(shell.data, "security", "leads")

    listed = shell("order", "list", "--waiting")[0]
    assert listed.splitlines()[0].split() == ["ID", "WAITS", "FOR", "POLICY", "UNTIL", "NAMESPACE", "NAMES"]
    assert f"\n{row}" in listed
    assert "leads,security" in listed
    assert "approval security:" in shell("order", "show", str(row))[0]

    said = shell("order", "approve", str(row), "--reason", "CHG-1")[0]
    assert "approved for group security (policy policy-of-security)" in said
    assert "it still waits for group leads" in said
    shell("order", "approve", str(row), "--reason", "me again", code=Exit.REFUSED)
    done = shell.json("order", "approve", str(row), "--as", "cara", "--reason", "fine")
    assert (done["status"], done["missing"]) == ("ready", [])

    shown = shell.json("order", "show", str(row))
    assert shown["status"] == "ready"
    assert [(one["group"], one["status"], one["by"]) for one in shown["approvals"]] == [
        ("leads", "granted", "cara"),
        ("security", "granted", "anna"),
    ]
    assert "granted by anna at" in shell("order", "show", str(row))[0]
    assert str(row) not in [str(one["id"]) for one in shell.json("order", "list", "--waiting")]
    told = [one["event"] for one in shell.events("--kind", "approval.granted") if one["order"] == row]
    assert [(one["by"], one.get("login")) for one in told] == [("anna", None), ("cara", "anna")]


def test_a_rejection_ends_the_order(shell: Shell) -> None:
    row = place(shell.data, "security")

    said = shell("order", "reject", str(row), "--reason", "use the shared one")[0]

    assert "anna of group security rejected it (policy policy-of-security): use the shared one" in said
    shown = shell.json("order", "show", str(row))
    assert shown["status"] == "invalid"
    assert shown["error"]["detail"].endswith("use the shared one")
    _, err = shell("order", "approve", str(row), "--reason", "after all", code=Exit.REFUSED)
    assert "anna rejected it: use the shared one" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--reason", "x", "--as", "cara"], Exit.REFUSED, "cara is not in group security"),
        (["--reason", "x", "--as", "mallory"], Exit.REFUSED, "is not in group security"),
        (["--reason", "   "], Exit.USAGE, "printable characters"),
        (["--reason", "a\x1b[2Jb"], Exit.USAGE, "printable characters"),
        ([], Exit.USAGE, "--reason"),
    ],
)
def test_who_may_not_is_told_why(shell: Shell, arguments: list[str], code: Exit, told: str) -> None:
    """Nothing is decided."""
    row = place(shell.data, "security", contact=f"mailto:{len(told)}@example.test")

    for verb in ("approve", "reject"):
        assert told in shell("order", verb, str(row), *arguments, code=code)[1]
    assert shell.json("order", "show", str(row))["status"] == "pending"


def test_the_requester_is_refused_under_any_name(shell: Shell) -> None:
    row = place(shell.data, "security", contact="mailto:anna@example.test")

    assert "anna asked for order" in shell("order", "approve", str(row), "--reason", "x", code=Exit.REFUSED)[1]
    asked = ["order", "approve", str(row), "--reason", "x", "--as", "ben"]
    assert "anna asked for order" in shell(*asked, code=Exit.REFUSED)[1]


def test_what_does_not_wait_has_an_exit_code(shell: Shell) -> None:
    for verb in ("approve", "reject"):
        _, err = shell("order", verb, "99999", "--reason", "x", code=Exit.NOT_FOUND)
        assert "order list --waiting" in err
    assert "takes neither" in shell("order", "list", "--waiting", "--status", "ready", code=Exit.USAGE)[1]


def test_without_sudo_the_login_is_the_process_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """USER and LOGNAME are not believed."""
    import os

    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setenv("USER", "ben")
    monkeypatch.setenv("LOGNAME", "ben")

    assert order_approval.login() == pwd.getpwuid(os.getuid()).pw_name


def test_a_policy_that_asks_an_unknown_group_is_refused(shell: Shell) -> None:
    """Nobody could ever approve; the server would not start, and a reload keeps the old set."""
    asking = shell.data / "policies" / "asking.yaml"
    asking.write_text(
        "kind: ClusterIssuancePolicy\nmetadata: {name: asking}\nspec: {effect: guard, require: {approval: securty}}\n"
    )
    try:
        _, err = shell("policy", "check", code=Exit.CONFIGURATION)
    finally:
        asking.unlink()

    assert "asking.spec.require.approval: there is no group called 'securty'; did you mean 'security'?" in err
