"""Every check, one line each, in the order in which they are made and told."""

from acme_ra.doctor.client.account import check_account
from acme_ra.doctor.client.binding import check_binding
from acme_ra.doctor.client.clock import check_api_server
from acme_ra.doctor.client.issuer import check_directory, check_profile, check_ready
from acme_ra.doctor.client.rbac import check_orders
from acme_ra.doctor.client.resources import check_policy_resources
from acme_ra.doctor.client.solvers import check_solvers
from acme_ra.doctor.client.subject import ClusterSide, IssuerSide
from acme_ra.doctor.client.versions import check_cert_manager
from acme_ra.doctor.findings import Check
from acme_ra.doctor.server.certificates import check_authorities, check_server_certificate
from acme_ra.doctor.server.clusters import check_clusters
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
    Check("clusters", check_clusters),
)

# Of an issuer. Without the API server there is nothing to say of the cluster, and without the issuer nothing of it.
API_CHECKS: tuple[Check[ClusterSide], ...] = (Check("API server", check_api_server),)
CLUSTER_CHECKS: tuple[Check[ClusterSide], ...] = (
    Check("cert-manager", check_cert_manager),
    Check("rights on Orders", check_orders),
    Check("policy resources", check_policy_resources),
)
ISSUER_CHECKS: tuple[Check[IssuerSide], ...] = (
    Check("issuer", check_ready),
    Check("directory", check_directory),
    Check("profile", check_profile),
    Check("EAB", check_binding),
    Check("account", check_account),
    Check("solvers", check_solvers),
)
