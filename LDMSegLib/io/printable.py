"""Names that come from elsewhere, as text that can be written anywhere."""

from __future__ import annotations

import unicodedata

_UNDECODED = range(0xDC80, 0xDD00)
"""What Python makes of the bytes of a file name that are no UTF-8 (PEP 383)."""
_NOT_TEXT = ("Cc", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """A name in which every byte that is no UTF-8, and every control character, is written as %XX.

    Different names stay different, and one that is text already stays as it is.
    """
    return "".join(_letter(letter) for letter in text)


def _letter(letter: str) -> str:
    if unicodedata.category(letter) not in _NOT_TEXT:
        return letter
    code = ord(letter)
    return f"%{code - 0xDC00:02X}" if code in _UNDECODED else f"%{code:02X}"
