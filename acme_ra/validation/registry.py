"""The challenge types that this server can validate: one line each."""

from acme_ra.validation.challenges.dns01 import DNS01
from acme_ra.validation.challenges.http01 import HTTP01
from acme_ra.validation.challenges.tlsalpn01 import TLSALPN01
from acme_ra.validation.contract import ChallengeValidator
from acme_ra.validation.egress import Dialer
from acme_ra.validation.resolver import Resolver
from acme_ra.validation.settings import ValidationSettings


def build_validators(
    settings: ValidationSettings, *, resolver: Resolver, dialer: Dialer
) -> dict[str, ChallengeValidator]:
    """Every validator by its type."""
    validators: tuple[ChallengeValidator, ...] = (
        HTTP01(settings, dialer),
        DNS01(settings, resolver),
        TLSALPN01(settings, dialer),
    )
    return {validator.type: validator for validator in validators}
