"""The linter's own process: certificates come in on standard input, findings go out on standard output.

pkilint takes a second to load and 5 ms a certificate, so it runs beside the server and not in it. The process ends
when its input does, however the server ended. A frame is four octets of length, big-endian, and the content.
"""

import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import pkilint.loader
import pkilint.pkix.certificate
from pkilint.pkix import extension, name
from pkilint.validation import ValidationFindingSeverity

from acme_ra.core.identifiers import parse_dns_name
from acme_ra.core.problems import Problem
from acme_ra.issuance.lint import READY, LintFinding
from acme_ra.issuance.settings import is_http_url

# pkilint has no type annotations.
_loader: Any = pkilint.loader
_certificate: Any = pkilint.pkix.certificate


def lint_certificate(der: bytes, validator: Any) -> list[LintFinding]:
    """Every finding of pkilint's RFC 5280 rules. A certificate that cannot be read is a fatal finding."""
    try:
        document = _loader.RFC5280CertificateDocumentLoader().load_der_document(der)
    except ValueError as error:
        return [LintFinding("fatal", "der.invalid", str(error)[:500])]
    return list(_findings(validator.validate(document.root)))


def make_validator() -> Any:
    """pkilint's linter for PKIX certificates; its web PKI rules do not fit a private CA."""
    decoders = _certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS)
    validators = [
        _certificate.create_issuer_validator_container([]),
        _certificate.create_validity_validator_container(),
        _certificate.create_subject_validator_container([]),
        _certificate.create_extensions_validator_container([]),
        _certificate.create_spki_validator_container([]),
    ]
    return _certificate.create_pkix_certificate_validator_container(decoders, validators)


def _findings(results: Any) -> Iterator[LintFinding]:
    for result in results:
        for description in result.finding_descriptions:
            code = str(description.finding.code)
            if _is_private_name(code, str(result.node.pdu)):
                continue
            severity = ValidationFindingSeverity(description.finding.severity).name.lower()
            where = str(result.node.path).removeprefix("certificate.tbsCertificate.")
            yield LintFinding(severity, code, f"{description.message or code} ({where})"[:500])


def _is_private_name(code: str, value: str) -> bool:
    """pkilint takes names of one label, as private networks have, for mistakes. Those are judged by our own grammar."""
    if code == "pkix.invalid_domain_name_syntax":
        try:
            parse_dns_name(value, allow_wildcard=True)
        except Problem:
            return False
        return True
    return code == "pkix.invalid_uri_syntax" and is_http_url(value)


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame, or None at the end of the input."""
    length = stream.read(4)
    if len(length) < 4:
        return None
    wanted = int.from_bytes(length, "big")
    content = stream.read(wanted)
    return content if len(content) == wanted else None


def write_frame(stream: BinaryIO, content: bytes) -> None:
    stream.write(len(content).to_bytes(4, "big") + content)
    stream.flush()


def main() -> None:
    """Serve until the input ends, or until nobody reads the answers any more."""
    try:
        _serve()
    except BrokenPipeError:
        # The server was killed. Leaving without the usual flush keeps its log free of a second error.
        os._exit(0)


def _serve() -> None:
    logging.getLogger("pkilint").setLevel(logging.CRITICAL)  # what it would log is a finding as well
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    validator = make_validator()
    write_frame(outgoing, READY)
    while (der := read_frame(incoming)) is not None:
        write_frame(outgoing, msgspec.json.encode(lint_certificate(der, validator)))


if __name__ == "__main__":
    main()
