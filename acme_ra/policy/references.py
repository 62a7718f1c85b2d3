"""What policies name elsewhere: authorities, profiles and groups of approvers must be in the configuration."""

import difflib
from collections.abc import Collection, Iterator
from typing import NamedTuple

from acme_ra.policy.compiled import Policy


class References(NamedTuple):
    """The names that there are."""

    authorities: Collection[str] = ()
    profiles: Collection[str] = ()
    groups: Collection[str] = ()


class Unresolved(NamedTuple):
    """One name that is not there; `key` is dotted, from the document's top."""

    key: str
    message: str
    fix: str


def unresolved(policy: Policy, known: References) -> Iterator[Unresolved]:
    group = "" if policy.approval is None else policy.approval.group
    for key, what, name, there in (
        ("spec.authority", "authority", policy.authority, known.authorities),
        ("spec.profile", "profile", policy.profile, known.profiles),
        ("spec.require.approval", "group", group, known.groups),
    ):
        if name and name not in there:
            near = difflib.get_close_matches(name.lower(), list(there), n=1)
            names = ", ".join(there) or "none"
            fix = f"did you mean {near[0]!r}?" if near else f"there are: {names}"
            if what == "group" and not there:
                fix = "the setting approvers names none"
            yield Unresolved(key, f"there is no {what} called {name!r}", fix)
