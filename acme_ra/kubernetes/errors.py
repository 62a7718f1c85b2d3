"""What a call to an API server can end in. Everything but an answer or "not found" means: could not be evaluated."""

from acme_ra.core.problems import ServiceUnavailable


class ClusterMisconfigured(Exception):
    """A cluster's settings or files cannot be used. The message is `what is wrong; the fix`."""


class KubernetesError(Exception):
    """A call that failed. The message is for the log: it names the cluster, the call and the cause."""

    def __init__(self, message: str, *, cluster: str) -> None:
        super().__init__(message)
        self.cluster = cluster

    def unavailable(self) -> ServiceUnavailable:
        """What a client is told: nothing of the cause, which belongs in the log."""
        return ServiceUnavailable(f"the API server of cluster {self.cluster} cannot be asked just now; try again")


class ApiUnavailable(KubernetesError):
    """No answer, a late one, 429 or 5xx, or one that is no answer (garbage, too large)."""


class ApiTooLarge(ApiUnavailable):
    """The answer is larger than what is read."""


class ApiRefused(KubernetesError):
    """401 or 403: the server's identity or its RBAC does not suffice. An operator must mend it."""


class ApiNotFound(KubernetesError):
    """404: there is no such object, or no such resource (a CRD that is not installed)."""


class ApiConflict(KubernetesError):
    """409: it exists already, was changed meanwhile, or is another one than the precondition names."""


class ApiGone(KubernetesError):
    """410: the resource version is too old, list again."""


class ApiInvalid(KubernetesError):
    """400, 405, 413, 415, 422: the API server does not accept what was sent."""
