"""CEL expressions of `require.rules`, through the C++ CEL library: type-checked at load, bounded when evaluated.

The library is imported at the first expression, so a policy set without any does not pay for it. It stops an evaluation
after 10,000 loop steps, its regular expressions are linear (RE2), and it refuses nesting deeper than 32. What it
does not bound is text that doubles in nested macros, so macros and `+` are counted here.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

#: Every variable and its CEL type. docs/policy.md has the meanings; a test keeps the two alike.
VARIABLES: dict[str, str] = {
    "request.dnsNames": "list(string)",
    "request.ipAddresses": "list(string)",
    "request.directory": "string",
    "request.credential": "string",
    "request.cluster": "string",
    "request.namespace": "string",
    "request.labels": "map(string, string)",
    "request.profile": "string",
    "request.authority": "string",
    "request.duration_seconds": "int",
    "request.key": "string",
}
#: Known at finalize only: an expression that reads one of these waits until then.
LATE_VARIABLES = frozenset({"request.key"})
MAX_MACROS = 3
MAX_PLUS = 10
_MACRO = re.compile(r"\b(?:all|exists|exists_one|existsOne|map|filter|transformList|transformMap)\b")
_WHERE = re.compile(r"^.*?ERROR: <input>:(\d+):(\d+): ([^\n]*)", re.DOTALL)


class ExpressionInvalid(Exception):
    """The expression does not compile, or is not a condition. The text says what and where."""


class ExpressionFailed(Exception):
    """The expression could not be evaluated on this request."""


class Program(NamedTuple):
    """A compiled condition. `late` if it reads what is known at finalize only."""

    source: str
    late: bool
    compiled: Any

    def holds(self, variables: Mapping[str, object]) -> bool:
        """Raises ExpressionFailed."""
        try:
            value = self.compiled.eval(data=dict(variables)).value()
        except Exception as error:  # the library raises plain RuntimeError for every fault
            raise ExpressionFailed(str(error)[:200]) from error
        if value is not True and value is not False:
            raise ExpressionFailed(str(value)[:200])
        return value


def compile_expression(source: str) -> Program:
    """Type-check one condition. Raises ExpressionInvalid."""
    if len(_MACRO.findall(source)) > MAX_MACROS:
        raise ExpressionInvalid(f"at most {MAX_MACROS} of all, exists, exists_one, map and filter may be used")
    if source.count("+") > MAX_PLUS:
        raise ExpressionInvalid(f"at most {MAX_PLUS} '+' may be used")
    known, early, boolean = _environments()
    try:
        compiled = known.compile(source)
    except Exception as error:
        raise ExpressionInvalid(_explain(error)) from error
    if compiled.return_type() != boolean:
        raise ExpressionInvalid(f"it gives {compiled.return_type().name()}, not true or false")
    try:
        early.compile(source)
    except Exception:  # it compiled with every variable, so it reads one that is not known early
        return Program(source, True, compiled)
    return Program(source, False, compiled)


@cache
def _environments() -> tuple[Any, Any, Any]:
    from cel_expr_python import cel

    text = cel.Type.STRING
    types = {
        "string": text,
        "int": cel.Type.INT,
        "list(string)": cel.Type.List(text),
        "map(string, string)": cel.Type.Map(text, text),
    }
    variables = {name: types[kind] for name, kind in VARIABLES.items()}
    early = {name: kind for name, kind in variables.items() if name not in LATE_VARIABLES}
    return cel.NewEnv(variables=variables), cel.NewEnv(variables=early), cel.Type.BOOL


def _explain(error: Exception) -> str:
    found = _WHERE.match(str(error))
    if found is None:
        return re.sub(r"\s+", " ", str(error))[:200]
    message = found[3].replace(" (in container '')", "")
    return f"{message[:200]} (line {found[1]}, column {found[2]} of the expression)"
