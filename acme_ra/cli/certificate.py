"""`acme-ra certificate`: what was issued."""

import re
from base64 import encodebytes
from typing import TYPE_CHECKING, Any

import click

from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_fields, print_json, print_table, session
from acme_ra.cli.storing import When, moment, paged, reported, stamp, tell_more
from acme_ra.config import Configuration
from acme_ra.core.clock import Instant, SystemClock

if TYPE_CHECKING:
    from acme_ra.storage.reports import ReportedCertificate

_COMMANDS = {
    "list": ("acme_ra.cli.certificate:list_certificates", "List certificates, by name, namespace or expiry."),
    "show": ("acme_ra.cli.certificate:show", "Show one certificate, with its PEM."),
}
_SERIAL = re.compile(r"[0-9a-f]{1,40}\Z")


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def certificate() -> None:
    """Certificates."""


@click.command("list")
@global_options
@paged
@click.option("--name", help="For exactly this name.")
@click.option("--namespace", help="Of this namespace.")
@click.option("--expires-before", type=When(future=True), help="A duration ahead (14d) or a time.")
@click.option("--revoked/--not-revoked", default=None, help="Only revoked ones, or only others.")
def list_certificates(
    limit: int,
    after: int,
    name: str | None,
    namespace: str | None,
    expires_before: Instant | None,
    revoked: bool | None,
) -> None:
    """List certificates; with --expires-before the first to expire comes first, and expired ones are left out."""
    now = SystemClock().now()
    found = reported(
        session().configuration(),
        lambda reports: reports.certificates(
            after,
            limit,
            name=None if name is None else name.lower().rstrip("."),
            namespace=namespace,
            expiring_since=None if expires_before is None else now,
            expiring_before=expires_before,
            revoked=revoked,
        ),
    )
    if session().json:
        print_json([as_object(one, now) for one in found])
        return
    rows = [
        (
            one.certificate.id,
            one.certificate.serial,
            _status(one, now),
            moment(one.certificate.not_after),
            one.namespace,
            ", ".join(one.names),
        )
        for one in found
    ]
    print_table(("ID", "SERIAL", "STATUS", "EXPIRES", "NAMESPACE", "NAMES"), rows, empty="no such certificates")
    tell_more(found[-1].certificate.id if found else None, len(found), limit)


@click.command()
@global_options
@click.argument("serial")
@click.option("--pem", is_flag=True, help="Only the certificate, in PEM.")
def show(serial: str, pem: bool) -> None:
    """Show one certificate: by its serial in hex."""
    one = _find(session().configuration(), serial)
    if pem:
        click.echo(_pem(one), nl=False)
        return
    now = SystemClock().now()
    if session().json:
        print_json({**as_object(one, now), "pem": _pem(one)})
        return
    issued = one.certificate
    print_fields(
        [
            ("serial", issued.serial),
            ("status", _status(one, now)),
            ("names", ", ".join(one.names)),
            ("namespace", one.namespace),
            ("authority", issued.authority),
            ("order", issued.order_id),
            ("account", issued.account_id),
            ("not before", moment(issued.not_before)),
            ("not after", moment(issued.not_after)),
            ("revoked", moment(issued.revoked_at)),
            ("reason", issued.revocation_reason),
            ("replaced by order", issued.replaced_by),
            ("key (SHA-256)", issued.key_fingerprint),
            ("ARI id", issued.ari_id),
        ]
    )
    click.echo(_pem(one), nl=False)


def _find(configuration: Configuration, serial: str) -> "ReportedCertificate":
    wanted = serial.lower().replace(":", "").lstrip("0")
    if not _SERIAL.match(wanted):
        fail(f"{serial!r} is not a serial number in hex", Exit.USAGE)
    found = reported(configuration, lambda reports: reports.certificates(limit=1, serial=wanted))
    if not found:
        fail(f"there is no certificate with serial {serial}; see `acme-ra certificate list`", Exit.NOT_FOUND)
    return found[0]


def _status(one: "ReportedCertificate", now: Instant) -> str:
    if one.certificate.revoked_at is not None:
        return "revoked"
    return "expired" if one.certificate.not_after < now else "valid"


def _pem(one: "ReportedCertificate") -> str:
    body = encodebytes(one.certificate.leaf).decode("ascii").replace("\n", "")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def as_object(one: "ReportedCertificate", now: Instant) -> dict[str, Any]:
    """A certificate for JSON."""
    issued = one.certificate
    return {
        "id": issued.id,
        "serial": issued.serial,
        "status": _status(one, now),
        "names": list(one.names),
        "namespace": one.namespace,
        "authority": issued.authority,
        "order": issued.order_id,
        "account": issued.account_id,
        "not_before": stamp(issued.not_before),
        "not_after": stamp(issued.not_after),
        "revoked_at": stamp(issued.revoked_at),
        "revocation_reason": issued.revocation_reason,
        "replaced_by_order": issued.replaced_by,
        "key_sha256": issued.key_fingerprint,
        "ari_id": issued.ari_id,
    }
