"""An approval cannot be made outside policy/engine (THREATS: side doors to signing)."""

import copy
import pickle

import pytest

from acme_ra.core import approval as module
from acme_ra.core.approval import Approval, claim_mint


def test_an_approval_cannot_be_constructed() -> None:
    with pytest.raises(TypeError):
        Approval()
    with pytest.raises(TypeError):
        Approval(object())  # type: ignore[arg-type]


def test_an_approval_cannot_be_subclassed() -> None:
    with pytest.raises(TypeError):
        type("Forged", (Approval,), {})


def test_an_empty_shell_approves_nothing() -> None:
    """Going round the constructor gives an object without a certificate, which cannot be given one."""
    shell = object.__new__(Approval)
    with pytest.raises(AttributeError):
        _ = shell.certificate
    with pytest.raises(AttributeError):
        shell._certificate = object()  # type: ignore[assignment]
    with pytest.raises(TypeError):
        pickle.dumps(shell)
    with pytest.raises(TypeError):
        copy.copy(shell)


def test_the_mint_is_handed_out_once() -> None:
    import acme_ra.policy.engine  # noqa: F401  (it takes the mint)

    with pytest.raises(RuntimeError):
        claim_mint()
    assert not hasattr(module, "_strike")
