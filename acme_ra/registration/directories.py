"""Named directories: each has its own policies, challenges, authorities, profiles and accounts (RFC 8555 §7.1.1)."""

from functools import cached_property

from acme_ra.core.clock import Instant
from acme_ra.core.request import Facts, ProfileFacts
from acme_ra.core.settings import Network
from acme_ra.registration.settings import DirectorySettings


class Directory:
    """One directory as it is served. Settings do not change after the start, so what is derived is kept."""

    def __init__(
        self,
        name: str,
        settings: DirectorySettings,
        *,
        profiles: dict[str, ProfileFacts],
        authority_ends: dict[str, Instant],
        allowed_networks: tuple[Network, ...] = (),
    ) -> None:
        """`profiles` and `authority_ends` are all that issuance knows.

        `allowed_networks` are the server's, if this directory has none.
        """
        self.name = name
        self.settings = settings
        self._profiles = {profile: profiles[profile] for profile in settings.profiles}
        self._authority_ends = authority_ends
        own = settings.allowed_networks
        self.allowed_networks: tuple[Network, ...] = allowed_networks if own is None else tuple(own)

    @cached_property
    def challenges(self) -> tuple[str, ...]:
        return tuple(self.settings.challenges)

    def facts(self, now: Instant) -> Facts:
        """What policy needs to know of this directory at this instant."""
        return Facts(
            now=now,
            profiles=self._profiles,
            default_profile=next(iter(self._profiles)),
            authorities=self._authorities,
            challenges=self.challenges,
            policy_names=self._policy_names,
            authority_ends=self._authority_ends,
        )

    @cached_property
    def _authorities(self) -> tuple[str, ...]:
        return tuple(self.settings.authorities)

    @cached_property
    def _policy_names(self) -> tuple[str, ...]:
        return tuple(self.settings.policies)
