"""The edge put together: routes, throttling, nonces on every answer, problems for every error (RFC 8555 §6)."""

import itertools
import os
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

import structlog

from acme_ra.acme.dispatch import Endpoint, Parameters, Table
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.http.server import HTTPServer
from acme_ra.acme.nonces import NonceService
from acme_ra.acme.problems import CONTENT_TYPE, render_problem, status_of
from acme_ra.acme.resources.health import Readiness
from acme_ra.acme.routes import HEALTH_ROUTES, common_table, site_table
from acme_ra.acme.settings import AcmeSettings
from acme_ra.acme.site import Limits, RequestObserver, Site, link
from acme_ra.core.problems import (
    Conflict,
    MethodNotAllowed,
    NotFound,
    Problem,
    ServerInternal,
    ServiceUnavailable,
    UserActionRequired,
)
from acme_ra.registration.authority import RegistrationAuthority

log = structlog.get_logger(__name__)

__all__ = ["Edge", "build_app", "build_server"]

_PREFIX: Final = "/acme/"
#: What metrics and the log call a request that has no route.
_UNKNOWN: Final = "unknown"


def build_app(
    registration: RegistrationAuthority,
    *,
    nonces: NonceService,
    settings: AcmeSettings,
    observe: RequestObserver | None = None,
    ready: Readiness | None = None,
) -> "Edge":
    """The web application of all directories. `observe` is called once per answer, `ready` by /readyz."""
    limits = Limits(settings)
    sites = {
        name: Site(directory, registration=registration, nonces=nonces, settings=settings, limits=limits)
        for name, directory in registration.directories.items()
    }
    common = common_table(registration, ready=ready)
    return Edge(sites, common, nonces=nonces, limits=limits, observe=observe)


def build_server(app: "Edge", settings: AcmeSettings) -> HTTPServer:
    """A server for `app` as it should be served. To be called where the event loop runs."""
    return HTTPServer(app, max_body=settings.max_body)


class Edge:
    """The handler of every request: finds its route, and does what happens around all of them."""

    def __init__(
        self,
        sites: Mapping[str, Site],
        common: Table,
        *,
        nonces: NonceService,
        limits: Limits,
        observe: RequestObserver | None,
    ) -> None:
        self._sites = sites
        self._tables = {name: site_table(site) for name, site in sites.items()}
        self._common = common
        self._nonces = nonces
        self._limits = limits
        self._observe = observe
        self._start = os.urandom(4).hex()
        self._occurrences = itertools.count(1)

    @property
    def routes(self) -> Iterator[tuple[str, str]]:
        """The method and the path's template of everything that is served."""
        places = {"/": self._common} | {f"{_PREFIX}{name}/": table for name, table in self._tables.items()}
        for place, table in places.items():
            for endpoint in table.endpoints:
                for method in endpoint.methods:
                    yield method, place + endpoint.path

    async def __call__(self, request: Request) -> Answer:
        started = time.perf_counter()
        method, address = request.method, request.remote
        endpoint, parameters = self._find(request)
        route, token, entered = endpoint.name, "", False
        response: Answer
        try:
            if route not in HEALTH_ROUTES:
                self._limits.enter_address(address)
                entered = True
            response = await endpoint.handler(request, parameters)
        except Problem as problem:
            token = problem.token
            response = self._problem(request, route, problem)
        except Exception as error:
            token = ServerInternal.token
            response = self._unexpected(request, route, error)
        finally:
            if entered:
                self._limits.leave_address(address)
        if method == "POST":
            response.add("Replay-Nonce", self._nonces.issue())
            response.add("Cache-Control", "no-store")
        if self._observe is not None:
            self._observe(route, method, response.status, token, time.perf_counter() - started)
        return response

    def _find(self, request: Request) -> tuple[Endpoint, Parameters]:
        """What is not there, or not for this method, is refused by the endpoint that stands for it."""
        path = request.path
        if path.startswith(_PREFIX):
            name, _, rest = path[len(_PREFIX) :].partition("/")
            table = self._tables.get(name)
            found = None if table is None else table.find(rest)
        else:
            found = self._common.find(path[1:])
        if found is None:
            return _refusal(
                NotFound(f"there is nothing at {unquote(request.path)[:200]!a}; start from the directory")
            ), {}
        methods, parameters = found
        endpoint = methods.get(request.method)
        if endpoint is None:
            return _refusal(_NotAllowed(request.method, tuple(methods))), {}
        return endpoint, parameters

    def _unexpected(self, request: Request, route: str, error: Exception) -> Answer:
        # The cause goes to the log; the client gets a name to quote.
        instance = self._instance()
        log.error("request failed", route=route, instance=instance, exc_info=error)
        problem = ServerInternal("the server made a mistake; tell its operators the instance of this problem")
        return self._answer(request, problem, instance)

    def _problem(self, request: Request, route: str, problem: Problem) -> Answer:
        instance = self._instance()
        status = status_of(problem)
        cause = problem.__cause__
        write = log.error if status == 500 else log.warning if status == 503 else log.info
        write(
            "request refused",
            route=route,
            status=status,
            problem=problem.token,
            detail=problem.detail,
            cause="" if cause is None else f"{type(cause).__name__}: {cause}"[:500],
            instance=instance,
            address=request.remote,
        )
        return self._answer(request, problem, instance)

    def _answer(self, request: Request, problem: Problem, instance: str) -> Answer:
        status = status_of(problem)
        headers: list[tuple[str, str]] = [("Content-Type", CONTENT_TYPE)]
        site = self._site(request)
        if site is not None:
            headers.append(site.index)
            if isinstance(problem, Conflict):
                headers.append(("Location", site.urls.account(site.name, problem.account)))
            terms = site.directory.settings.terms_of_service
            if isinstance(problem, UserActionRequired) and terms:
                headers.append(("Link", link(terms, "terms-of-service")))
                instance = terms
        if isinstance(problem, _NotAllowed):
            headers.append(("Allow", problem.allowed))
        if isinstance(problem, ServiceUnavailable):
            headers.append(("Retry-After", str(max(1, problem.retry_after))))
        return Answer(render_problem(problem, status=status, instance=instance), *headers, status=status)

    def _site(self, request: Request) -> Site | None:
        path = request.path
        return self._sites.get(path.split("/", 3)[2]) if path.startswith(_PREFIX) else None

    def _instance(self) -> str:
        return f"urn:acme-ra:request:{self._start}-{next(self._occurrences)}"


class _NotAllowed(MethodNotAllowed):
    """Carries what is allowed, for the Allow header (RFC 9110 §15.5.6)."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        self.allowed = ",".join(allowed)
        more = "; fetch it by POST-as-GET (RFC 8555 §6.3)" if method in ("GET", "HEAD") else ""
        super().__init__(f"{method[:20]!a} is not allowed here, only {self.allowed}{more}")


def _refusal(problem: Problem) -> Endpoint:
    async def refuse(_: Request, __: Parameters) -> Answer:
        raise problem

    return Endpoint(_UNKNOWN, "", "", refuse)
