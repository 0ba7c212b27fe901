"""Values as JSON, as `json.dumps` writes them without escapes: what is small takes that several times longer."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from math import isfinite
from typing import Any


def document(value: Any) -> str:
    """Return a value of JSON's types as a text."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        return "{" + ", ".join([f"{encode_basestring(name)}: {document(one)}" for name, one in value.items()]) + "}"
    if kind is list:
        return "[" + ", ".join([document(one) for one in value]) + "]"
    if kind is float and isfinite(value):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
