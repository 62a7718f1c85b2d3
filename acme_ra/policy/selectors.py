"""Selectors: which requests a policy speaks about. Unknown facts, which are empty texts, match no selector."""

from collections.abc import Iterable
from typing import NamedTuple

from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.patterns import Glob, shown_list


class Subject(NamedTuple):
    """What selectors look at, gathered once for a request."""

    cluster: str
    namespace: str
    labels: dict[str, str]
    credential: tuple[str, ...]  # kid, and its name where that is known
    profile: str

    @classmethod
    def of(cls, request: IssuanceRequest, facts: Facts) -> "Subject":
        credential: tuple[str, ...] = (request.credential,)
        profile = request.profile or facts.default_profile
        workload = request.workload
        if workload is None:
            return cls("", "", {}, credential, profile)
        name = workload.evidence.get("credential_name", "")
        if name and workload.evidence.get("credential") == request.credential:
            credential = (request.credential, name)
        return cls(workload.cluster, workload.namespace, workload.labels, credential, profile)


class Globs:
    """A list of globs; None stands for an absent key, which any value satisfies. An empty list satisfies none."""

    __slots__ = ("_globs", "_literals", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._literals = frozenset(text for text in self.texts if "*" not in text) - {""}
        self._globs = tuple(Glob(text) for text in self.texts if "*" in text)

    def match(self, value: str) -> bool:
        return value in self._literals or any(glob.matches(value) for glob in self._globs)

    @property
    def literals(self) -> tuple[str, ...] | None:
        """The values that can match, if they can be counted."""
        return None if self._globs else tuple(sorted(self._literals))

    def __str__(self) -> str:
        return shown_list(self.texts)


class CompiledSelector:
    """The selector of one policy, without `directories`, which is known long before."""

    __slots__ = ("_clusters", "_credentials", "_home", "_labels", "directories", "namespaces", "profiles")

    def __init__(
        self,
        *,
        clusters: Globs | None,
        namespaces: Globs | None,
        labels: dict[str, Globs] | None,
        directories: Globs | None,
        credentials: Globs | None,
        profiles: Globs | None,
        home: str = "",
    ) -> None:
        """`home`: the cluster whose workloads alone are spoken about; "" where there is no such limit."""
        self._home = home
        self._clusters = clusters
        self.namespaces = namespaces
        self._labels = None if labels is None else tuple(labels.items())
        self.directories = directories
        self._credentials = credentials
        self.profiles = profiles

    def matches(self, subject: Subject) -> bool:
        """Everything but `directories` and `profiles`."""
        if self.namespaces is not None and not self.namespaces.match(subject.namespace):
            return False
        if self._home and subject.cluster != self._home:
            return False
        if self._clusters is not None and not self._clusters.match(subject.cluster):
            return False
        if self._credentials is not None and not any(map(self._credentials.match, subject.credential)):
            return False
        if self._labels is None:
            return True
        # matchLabels without any label is an empty selector, and selects nothing.
        return bool(self._labels) and all(globs.match(subject.labels.get(key, "")) for key, globs in self._labels)

    def misses(self, subject: Subject, directory: str) -> list[str]:
        """Why a request is not selected, one clause each; for refusals only, so it need not be quick."""
        found = []
        if self._home and subject.cluster != self._home:
            found.append(f"cluster {self._home} (here: {subject.cluster or 'unknown'})")
        known = (
            ("directories", self.directories, (directory,)),
            ("clusters", self._clusters, (subject.cluster,)),
            ("namespaces", self.namespaces, (subject.namespace,)),
            ("credentials", self._credentials, subject.credential),
            ("profiles", self.profiles, (subject.profile,)),
        )
        for name, globs, values in known:
            if globs is not None and not any(map(globs.match, values)):
                found.append(f"{name} {globs} (here: {values[0] or 'unknown'})")
        for key, globs in self._labels or ():
            if not globs.match(subject.labels.get(key, "")):
                found.append(f"label {key} {globs} (here: {subject.labels.get(key) or 'unknown'})")
        if self._labels == ():
            found.append("labels none")
        return found
