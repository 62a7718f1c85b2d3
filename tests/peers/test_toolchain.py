"""A machine whose Go is too old for the peers."""

from pathlib import Path

import pytest

from tests.peers.toolchain import new_enough

OLD = """#!/bin/sh
case "$1 $2" in
"env GOVERSION") echo go{version} ;;
"env GOOS") printf 'linux\\namd64\\n' ;;
"mod download")
  [ "$GOTOOLCHAIN" = local ] || exit 9
  echo "$4" >>"{log}"
  mkdir -p "$GOPATH/m/bin" "$GOPATH/m/pkg/tool/linux_amd64"
  printf '#!/bin/sh\\necho newer\\n' >"$GOPATH/m/bin/go"
  touch "$GOPATH/m/pkg/tool/linux_amd64/compile"
  echo "{{\\"Dir\\": \\"$GOPATH/m\\"}}" ;;
*) exit 8 ;;
esac
"""


def installed(folder: Path, version: str) -> Path:
    """What Debian has, as far as it is asked."""
    path = folder / "go"
    path.write_text(OLD.format(version=version, log=folder / "log"))
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACME_RA_PEERS", str(tmp_path / "peers"))
    return tmp_path / "peers"


@pytest.mark.parametrize("version", ["1.26.0", "1.27rc1", "2.0"])
def test_a_go_that_is_new_enough_is_used(tmp_path: Path, version: str) -> None:
    found = installed(tmp_path, version)

    assert new_enough(found) == found
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("version", ["1.19.8", "1.25.1"])
def test_an_old_one_fetches_a_newer_one_once(tmp_path: Path, kept: Path, version: str) -> None:
    """It can be run, and is found again."""
    found = installed(tmp_path, version)

    newer = [new_enough(found) for _ in range(2)]

    assert newer == [kept / "go1.26.8" / "bin" / "go"] * 2
    assert newer[0].stat().st_mode & 0o111
    assert (kept / "go1.26.8/pkg/tool/linux_amd64/compile").stat().st_mode & 0o111
    assert (tmp_path / "log").read_text() == "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64\n"
