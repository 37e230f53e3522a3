"""Pages of HTML that need nothing else: templates with the parts filled in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with each ``@NAME@`` replaced, once: what is filled in is left as it is.

    >>> filled("<p>@A@ @B@</p>", {"A": "@B@", "B": "1"})
    '<p>@B@ 1</p>'
    """
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], template)


def script_data(value: Any) -> str:
    """Plain data as JSON that may stand inside a script, where ``</`` could end it.

    >>> print(script_data({"name": "</b>"}).count("</"))
    0
    """
    return json.dumps(value, allow_nan=False).replace("</", "<\\/")


def data_uri(content: bytes, kind: str) -> str:
    """A file inside the page.

    >>> data_uri(b"abc", "image/png")
    'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
