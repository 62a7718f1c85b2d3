"""Sealing: what is changed, moved or opened with another key stays shut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_ra.core.sealing import SealBroken, Sealer

SEALER = Sealer(bytes(range(32)))


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_what_is_sealed_opens_in_its_own_context(plaintext: bytes, purpose: str, context: str) -> None:
    """And the sealed bytes differ each time."""
    sealed = SEALER.seal(plaintext, purpose=purpose, context=context)

    assert SEALER.open(sealed, purpose=purpose, context=context) == plaintext
    assert SEALER.seal(plaintext, purpose=purpose, context=context) != sealed


@pytest.mark.parametrize(("purpose", "context"), [("other", "kid-1"), ("credential", "kid-2"), ("credential", "")])
def test_a_secret_moved_to_another_row_or_purpose_does_not_open(purpose: str, context: str) -> None:
    """A database admin exchanges two credentials' secrets."""
    sealed = SEALER.seal(b"secret", purpose="credential", context="kid-1")

    with pytest.raises(SealBroken):
        SEALER.open(sealed, purpose=purpose, context=context)


def test_every_changed_bit_and_every_truncation_is_noticed() -> None:
    """Version, nonce, ciphertext and tag alike."""
    sealed = SEALER.seal(b"secret", purpose="credential", context="kid")
    broken = [sealed[:length] for length in range(len(sealed))]
    for index in range(len(sealed)):
        broken.append(sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :])

    for one in broken:
        with pytest.raises(SealBroken):
            SEALER.open(one, purpose="credential", context="kid")


def test_another_master_key_opens_nothing() -> None:
    """The database alone is worth nothing."""
    sealed = SEALER.seal(b"secret", purpose="credential", context="kid")

    with pytest.raises(SealBroken, match="another key"):
        Sealer(bytes(32)).open(sealed, purpose="credential", context="kid")


def test_sub_keys_are_stable_and_differ_by_purpose() -> None:
    """Nonces and approvals of one installation survive a restart; the value itself is pinned."""
    assert SEALER.derive("nonce") == Sealer(bytes(range(32))).derive("nonce")
    assert len({SEALER.derive(purpose) for purpose in ("nonce", "approval", "seal/credential")}) == 3
    assert SEALER.derive("nonce").hex() == "d402342c1c07a3760f59ca531e11ca329f5413578714b02667892a2c40b9de25"


def test_nothing_prints_the_key() -> None:
    """Neither repr nor an error for a wrong length."""
    assert "01" not in repr(SEALER)
    with pytest.raises(ValueError, match="31 bytes") as caught:
        Sealer(b"k" * 31)
    assert "kkk" not in str(caught.value)
