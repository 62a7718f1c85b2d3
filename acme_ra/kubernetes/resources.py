"""Names of API resources, their paths, and the parts of objects that everybody needs."""

from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

T = TypeVar("T")


class Resource(msgspec.Struct, frozen=True):
    """A kind of object at one API version. `group` is "" for the core group."""

    group: str
    version: str
    plural: str

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; every part is quoted, so that no name can lead to another resource."""
        parts = ["apis", self.group] if self.group else ["api"]
        parts.append(self.version)
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        for part in (name, subresource):
            if part:
                parts.append(part)
        for part in parts:
            if part in (".", ".."):
                raise ValueError(f"{part!r} is no name")
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


NAMESPACES = Resource("", "v1", "namespaces")
EVENTS = Resource("", "v1", "events")


class OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False


def controller_of(references: tuple[OwnerReference, ...] | None) -> OwnerReference | None:
    """The one that manages the object, if there is one."""
    return next((one for one in references or () if one.controller), None)


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """metadata of an object: what is read of it."""

    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages the object, if there is one."""
        return controller_of(self.owner_references)


class Meta(msgspec.Struct, frozen=True):
    """Any object, of which only the metadata is read."""

    metadata: Metadata


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. All pages of a list are of one snapshot, that of `metadata.resource_version`."""

    metadata: ListMeta
    items: list[T] | None = None


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct, frozen=True):
    """meta/v1 Status: how an API server tells a failure."""

    code: int = 0
    reason: str = ""
    message: str = ""
