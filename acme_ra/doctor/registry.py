"""Every check, one line each, in the order in which they are made and told."""

from acme_ra.doctor.findings import Check
from acme_ra.doctor.server.certificates import check_authorities, check_server_certificate
from acme_ra.doctor.server.configuration import check_configuration, check_files
from acme_ra.doctor.server.database import check_credentials, check_database, check_master_key
from acme_ra.doctor.server.network import check_directories, check_resolvers
from acme_ra.doctor.server.policies import check_policies
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.doctor.server.versions import check_versions

SERVER_CHECKS: tuple[Check[ServerSide], ...] = (
    Check("versions", check_versions),
    Check("configuration", check_configuration),
    Check("files", check_files),
    Check("database", check_database),
    Check("master key", check_master_key),
    Check("credentials", check_credentials),
    Check("policies", check_policies),
    Check("authorities", check_authorities),
    Check("server certificate", check_server_certificate),
    Check("directories", check_directories),
    Check("resolvers", check_resolvers),
)
