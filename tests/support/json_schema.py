"""As much of JSON Schema (draft 2020-12) as our schemas use; a keyword that is not known here is an error."""

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
}
_NO_CHECKS = {"$defs", "$schema", "title", "description", "default"}


def fits(schema: dict[str, Any], value: Any) -> bool:
    return _fits(schema, value, schema["$defs"])


def _fits(schema: dict[str, Any], value: Any, defs: dict[str, Any]) -> bool:
    return all(_keyword(key, told, schema, value, defs) for key, told in schema.items() if key not in _NO_CHECKS)


def _keyword(key: str, told: Any, schema: dict[str, Any], value: Any, defs: dict[str, Any]) -> bool:
    match key:
        case "$ref":
            return _fits(defs[told.rpartition("/")[2]], value, defs)
        case "type":
            return isinstance(value, _TYPES[told])
        case "enum":
            return value in told
        case "const":
            return bool(value == told)
        case "anyOf":
            return any(_fits(one, value, defs) for one in told)
        case "allOf":
            return all(_fits(one, value, defs) for one in told)
        case "not":
            return not _fits(told, value, defs)
        case "items":
            return not isinstance(value, list) or all(_fits(told, one, defs) for one in value)
        case "maxItems":
            return not isinstance(value, list) or len(value) <= told
        case "minLength":
            return not isinstance(value, str) or len(value) >= told
        case "maxLength":
            return not isinstance(value, str) or len(value) <= told
        case "pattern":
            return not isinstance(value, str) or re.search(told.replace("$", r"\Z"), value) is not None
        case "required":
            return not isinstance(value, dict) or all(one in value for one in told)
        case "maxProperties":
            return not isinstance(value, dict) or len(value) <= told
        case "propertyNames":
            return not isinstance(value, dict) or all(_fits(told, one, defs) for one in value)
        case "properties":
            return not isinstance(value, dict) or all(
                _fits(told[one], value[one], defs) for one in value if one in told
            )
        case "additionalProperties":
            others = set(value) - set(schema.get("properties", {})) if isinstance(value, dict) else ()
            return not others if told is False else all(_fits(told, value[one], defs) for one in others)
    raise AssertionError(f"the keyword {key} is not known here")
