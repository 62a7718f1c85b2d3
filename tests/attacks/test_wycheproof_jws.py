"""Project Wycheproof's JWS vectors against our verification: nothing invalid passes, everything valid of ours does."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from acme_ra.acme.jwk import ALGORITHMS, parse_jwk
from acme_ra.acme.jws import read_flattened
from acme_ra.core.problems import Problem

MODULE = "github.com/c2sp/wycheproof@latest"
#: Valid there, refused here on purpose: the JWK says `alg: ES521`, which is no registered algorithm.
MISNAMED = {347, 351}


def _vectors() -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("the vectors are fetched with Go; install golang")
    fetched = subprocess.run([go, "mod", "download", "-json", MODULE], capture_output=True, text=True, timeout=600)
    assert fetched.returncode == 0, fetched.stderr
    return Path(json.loads(fetched.stdout)["Dir"]) / "testvectors_v1" / "json_web_signature_test.json"


def _accepts(jwk: dict[str, object], jws: str) -> bool:
    """Whether the compact form, rewritten as a flattened one, verifies under our rules."""
    parts = jws.split(".")
    if len(parts) != 3:
        return False  # has no flattened form at all
    try:
        members = dict(zip(("protected", "payload", "signature"), parts, strict=True))
        read = read_flattened(members, algorithms=ALGORITHMS, field="the JWS")
        # A request carries jwk or kid, never both: what parse_jws refuses for every request.
        if "jwk" in read.header:
            return False
        read.verify(parse_jwk(jwk, algorithm=read.algorithm))
    except Problem:
        return False
    return True


def test_wycheproof_vectors_are_judged_as_their_authors_do():
    """Each vector by itself; all 401 are looked at, and mistakes are listed together."""
    groups = json.loads(_vectors().read_text())["testGroups"]
    mistakes, seen = [], Counter()

    for group in groups:
        jwk = group.get("public") or group["private"]
        for vector in group["tests"]:
            accepted = _accepts(jwk, vector["jws"])
            header_algorithm = jwk.get("alg")
            ours = header_algorithm in ALGORITHMS and vector["tcId"] not in MISNAMED
            expected = vector["result"] == "valid" and ours
            seen[expected] += 1
            if accepted != expected:
                mistakes.append((vector["tcId"], vector["comment"], accepted))

    assert mistakes == []
    assert sum(seen.values()) >= 401
    assert seen[True] >= 10
