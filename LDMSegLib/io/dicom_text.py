"""The text values of a DICOM header as the standard wants them, mended where that loses nothing, else refused.

Scanners, archives and anonymisers leave headers that are not quite DICOM: character sets that are used and not declared, dates with
dashes, identifiers that are too long. Whoever refers to such an image has to repeat its identity. A date may be written anew or left
out; an identifier may not be changed at all, because by it the archive finds the patient.
"""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import MutableSequence
from typing import Any

# Values of Specific Character Set that mean "nothing but ASCII, or not said".
_DEFAULT_REPERTOIRE = ("", "ISO_IR 6", "ISO 2022 IR 6")
_SEX = {"M": "M", "F": "F", "O": "O", "MALE": "M", "FEMALE": "F", "OTHER": "O"}
_DATE = re.compile(r"(\d{4})([-./: ]?)(\d{2})\2(\d{2})(?:$|[T ]|\d{2})")
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d{1,6})?\d*)?)?")


class Unwritable(ValueError):
    """Why a header cannot be repeated, as the middle of a sentence; names attributes, never their values."""


class Text:
    """Reads single text values of one header.

    Attributes:
        notes: what had to be mended, one phrase each; names attributes, never their values.
    """

    def __init__(self, pydicom: Any, header: Any) -> None:
        """Args: the module, and a data set as it was read, whose values nobody has asked for yet."""
        self._pydicom, self._header = pydicom, header
        self.notes: list[str] = []
        self._encodings = self._declared()

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def identifier(self, name: str) -> str:
        """A value that must be repeated letter by letter; "" where there is none.

        Raises:
            Unwritable: it is not legal DICOM, or its letters cannot be read.
        """
        value = self._value(name)
        if "\ufffd" in value:
            raise Unwritable(f"{name} is written in letters that its character set does not have")
        problem = self._problem(name, value)
        if problem:
            raise Unwritable(f"{name} {problem}, and an identifier is not changed")
        return value

    def uid(self, name: str) -> str:
        """A UID that must be there; raises Unwritable where it is absent or no UID."""
        value = self.identifier(name)
        if not value:
            raise Unwritable(f"{name} is missing")
        return value

    def optional(self, name: str) -> str:
        """A value that may be left out where it is not legal DICOM."""
        value = self._value(name)
        if "\ufffd" in value or self._problem(name, value):
            self.notes.append(f"{name} left out")
            return ""
        return value

    def date(self, name: str) -> str:
        """YYYYMMDD; "" where there is no such day."""
        value = self._value(name)
        found = _DATE.match(value)
        mended = "".join(found.group(1, 3, 4)) if found else ""
        try:
            datetime.datetime.strptime(mended, "%Y%m%d")
        except ValueError:
            mended = ""
        return self._said(name, value, mended)

    def time(self, name: str) -> str:
        """HHMMSS.FFFFFF or less of it; "" where it is no time of day."""
        value = self._value(name)
        found = _TIME.fullmatch(value)
        hour, minute, second, rest = found.groups() if found else ("", None, None, None)
        right = bool(found) and int(hour) < 24 and int(minute or 0) < 60 and int(second or 0) < 60
        return self._said(name, value, f"{hour}{minute or ''}{second or ''}{rest or ''}" if right else "")

    def sex(self, name: str) -> str:
        """M, F, O or ""."""
        value = self._value(name)
        return self._said(name, value, _SEX.get(value.strip().upper(), ""))

    def _said(self, name: str, value: str, mended: str) -> str:
        if mended != value:
            self.notes.append(f"{name} {'written anew' if mended else 'left empty'}")
        return mended

    def _problem(self, name: str, value: str) -> str:
        """What is not legal DICOM about a value, "" where nothing is."""
        kind = self._pydicom.datadict.dictionary_VR(name)
        if not value:
            return ""
        if "\\" in value and kind not in ("LT", "ST", "UT"):
            return "holds several values, where DICOM allows one"
        if any(ord(letter) < 32 for letter in value):
            return "holds control characters"
        longest = {"SH": 16, "LO": 64, "CS": 16, "UI": 64, "AS": 4}.get(kind)
        if longest and len(value) > longest:
            return f"has {len(value)} characters, where DICOM allows {longest}"
        try:
            self._pydicom.valuerep.validate_value(kind, value, self._pydicom.config.RAISE)
        except ValueError:
            return f"is no legal value of the kind {kind}"
        return ""

    def _value(self, name: str) -> str:
        """The value as text, without padding; letters that cannot be read become U+FFFD."""
        raw = self._raw(name)
        if not isinstance(raw, bytes):
            # Values that were read and converted already, or numbers.
            several = isinstance(raw, MutableSequence)
            return "" if raw is None else "\\".join(map(str, raw)) if several else str(raw).rstrip(" \0")
        raw = raw.rstrip(b" \0")
        if self._pydicom.datadict.dictionary_VR(name) not in ("SH", "LO", "PN", "LT", "ST", "UT", "UC"):
            return raw.decode("ascii", "replace")  # dates, codes and UIDs know one repertoire
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._pydicom.datadict.dictionary_VR(name) == "PN":
                return str(self._pydicom.valuerep.PersonName(raw, self._encodings)).rstrip(" ")
            return self._pydicom.charset.decode_bytes(raw, self._encodings, self._pydicom.charset.TEXT_VR_DELIMS).rstrip(" ")

    def _raw(self, name: str) -> Any:
        element = self._header.get_item(name) if name in self._header else None
        return None if element is None else element.value

    def _declared(self) -> list[str]:
        """Python's encodings for the header's text."""
        raw = self._raw("SpecificCharacterSet")
        said = raw.decode("ascii", "replace") if isinstance(raw, bytes) else "\\".join([raw] if isinstance(raw, str) else raw or [])
        terms = [term.strip(" \0") for term in said.split("\\")]
        if all(term in _DEFAULT_REPERTOIRE for term in terms):
            return self._guessed()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                encodings = self._pydicom.charset.convert_encodings(terms)
            except LookupError:
                encodings = []
        if encodings and not any("unknown" in str(warning.message).lower() for warning in told):
            return encodings  # a misspelt one is understood, with a warning
        self.notes.append("an unknown SpecificCharacterSet replaced")
        return self._guessed()

    def _guessed(self) -> list[str]:
        """Where no character set is declared: UTF-8 if all text is that, which other text hardly ever is; else Latin-1."""
        texts = [self._raw(name) for name in ("PatientName", "PatientID", "StudyDescription", "ReferringPhysicianName", "AccessionNumber")]
        texts = [text for text in texts if isinstance(text, bytes) and not text.isascii()]
        if not texts:
            return ["utf_8"]
        try:
            for text in texts:
                text.decode("utf-8")
        except UnicodeDecodeError:
            self.notes.append("text without a declared character set read as Latin-1")
            return ["latin_1"]
        self.notes.append("text without a declared character set read as UTF-8")
        return ["utf_8"]
