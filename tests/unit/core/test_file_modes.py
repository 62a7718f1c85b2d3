"""Which owners and modes keep a secret."""

import os

import pytest

from acme_ra.core.file_modes import is_private

SERVER, SOMEBODY = 10001, 1000


def _status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((0o100000 | mode, 1, 1, 1, owner, SERVER, 0, 0, 0, 0))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o000, 0o700])
@pytest.mark.parametrize("owner", [0, SERVER])
@pytest.mark.parametrize("user", [0, SERVER])
def test_a_file_without_group_and_others_is_private(mode: int, owner: int, user: int) -> None:
    assert is_private(_status(mode, owner), user=user)


@pytest.mark.parametrize("mode", [0o440, 0o640])
def test_root_may_give_a_file_to_a_group_of_the_server(mode: int) -> None:
    """A Secret in a pod that does not run as root."""
    assert is_private(_status(mode, 0), user=SERVER)


@pytest.mark.parametrize("mode", [0o660, 0o650, 0o644, 0o444, 0o441, 0o602, 0o620])
def test_nobody_may_change_a_secret_and_others_may_not_read_it(mode: int) -> None:
    assert not is_private(_status(mode, 0), user=SERVER)


@pytest.mark.parametrize(("owner", "user"), [(0, 0), (SERVER, SERVER), (SOMEBODY, SERVER), (SOMEBODY, 0)])
def test_only_root_may_give_a_file_to_a_group_and_not_to_itself(owner: int, user: int) -> None:
    """The server's own user makes files 0600; a file of somebody else's was not given by the machine's owner."""
    assert not is_private(_status(0o440, owner), user=user)
