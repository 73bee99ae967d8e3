"""What a licence allows, as far as its name says."""

import re
from typing import Literal

Use = Literal["commercial use named", "non-commercial", "not clear"]

_NON_COMMERCIAL = re.compile(r"(^|[^a-z])nc([^a-z]|$)|non-?commercial|research[- ]only|academic")
_OPEN = re.compile(
    r"apache|(^|[^a-z])mit([^a-z]|$)|bsd|cc0|cc-by(-sa)?(-[0-9.]+)?$|odc-by|psf|python|"
    r"public[- ]domain|unlicense|gpl|cdla-permissive"
)


def use(licence: str) -> Use:
    """Return what a licence's name says of commercial use; it is no legal advice."""
    name = licence.lower()
    if _NON_COMMERCIAL.search(name):
        return "non-commercial"
    return "commercial use named" if _OPEN.search(name) else "not clear"
