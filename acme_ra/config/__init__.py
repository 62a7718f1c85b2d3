"""The configuration: one YAML file and environment variables become typed settings, or a list of every mistake."""

from collections.abc import Mapping
from pathlib import Path

from acme_ra.config.checks import cross_check
from acme_ra.config.document import read_document
from acme_ra.config.environment import apply_environment
from acme_ra.config.errors import ConfigurationInvalid, Mistake
from acme_ra.config.settings import Configuration
from acme_ra.config.validate import anchored, validate

__all__ = ["Configuration", "ConfigurationInvalid", "Mistake", "load_configuration"]


def load_configuration(path: Path, environment: Mapping[str, str], *, check: bool = True) -> Configuration:
    """Read, override, validate; relative paths start at the file's folder. Raises ConfigurationInvalid.

    `check` also looks at what sections say of each other; `acme-ra ca init` runs before there are files to find.
    """
    document = read_document(path)
    mistakes = apply_environment(document, (Configuration,), environment)
    configuration = anchored(validate(Configuration, document, mistakes), path.resolve().parent)
    if check and (found := cross_check(configuration, document)):
        raise ConfigurationInvalid(found)
    return configuration
