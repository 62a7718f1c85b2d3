"""What options name must be in the configuration."""

from acme_ra.cli.frame import Exit, fail
from acme_ra.config import Configuration
from acme_ra.config.schema import closest


def check_cluster(configuration: Configuration, cluster: str) -> None:
    """Where clusters are configured, a credential of another one would be refused at each order."""
    known = configuration.clusters
    if cluster and known and cluster not in known:
        guess = closest(cluster, known)
        fix = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known)}"
        fail(f"--cluster {cluster!r}: the configuration has no such cluster; {fix}", Exit.USAGE)
