"""Whether the terminal can be trusted with more than ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_COERCED = {"C.UTF-8", "C.utf8", "UTF-8"}


def wants_ascii(environ: Mapping[str, str]) -> bool:
    """Tell whether the locale in `environ` names an encoding other than UTF-8.

    Python itself may have put one of three names into LC_CTYPE in a plain C locale (PEP 538), so
    those say nothing while LANG is set. No locale at all is taken for UTF-8: containers have none.
    """
    locale = environ.get("LC_ALL", "")
    if not locale:
        ctype, language = environ.get("LC_CTYPE", ""), environ.get("LANG", "")
        locale = language if ctype in _COERCED and language else ctype or language
    if not locale:
        return False
    return "utf8" not in locale.lower().replace("-", "")
