"""Where each resource lives: the one place that knows the shape of our URLs (RFC 8555 §7.1)."""


class Urls:
    """URLs of one server. `base` is its external origin, such as `https://ra.example.com`, without a final slash."""

    __slots__ = ("base",)

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def _in(self, directory: str, path: str) -> str:
        return f"{self.base}/acme/{directory}/{path}"

    def directory(self, directory: str) -> str:
        return self._in(directory, "directory")

    def new_nonce(self, directory: str) -> str:
        return self._in(directory, "new-nonce")

    def new_account(self, directory: str) -> str:
        return self._in(directory, "new-account")

    def new_order(self, directory: str) -> str:
        return self._in(directory, "new-order")

    def new_authz(self, directory: str) -> str:
        return self._in(directory, "new-authz")

    def revoke_cert(self, directory: str) -> str:
        return self._in(directory, "revoke-cert")

    def key_change(self, directory: str) -> str:
        return self._in(directory, "key-change")

    def renewal_info(self, directory: str) -> str:
        return self._in(directory, "renewal-info")

    def account(self, directory: str, resource_id: str) -> str:
        return self._in(directory, f"account/{resource_id}")

    def orders(self, directory: str, resource_id: str, *, after: int | None = None) -> str:
        cursor = "" if after is None else f"?cursor={after}"
        return self._in(directory, f"account/{resource_id}/orders{cursor}")

    def order(self, directory: str, resource_id: str) -> str:
        return self._in(directory, f"order/{resource_id}")

    def finalize(self, directory: str, resource_id: str) -> str:
        return self._in(directory, f"order/{resource_id}/finalize")

    def authorization(self, directory: str, resource_id: str) -> str:
        return self._in(directory, f"authz/{resource_id}")

    def challenge(self, directory: str, resource_id: str, challenge_type: str) -> str:
        """`resource_id` is the authorization's."""
        return self._in(directory, f"challenge/{resource_id}/{challenge_type}")

    def certificate(self, directory: str, resource_id: str, *, alternate: int = 0) -> str:
        """Alternate 0 is the default chain."""
        suffix = f"/{alternate}" if alternate else ""
        return self._in(directory, f"cert/{resource_id}{suffix}")

    def authority_certificate(self, authority: str) -> str:
        return f"{self.base}/ca/{authority}.cer"

    def authority_crl(self, authority: str) -> str:
        return f"{self.base}/ca/{authority}.crl"
