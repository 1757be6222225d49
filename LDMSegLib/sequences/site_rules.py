"""A site's own words: a small file that says which words of its descriptions or file names are which sequence.

One rule a line, words and sequence with a tab between them, read before any other rule:

    # words          sequence
    t1 mprage iso    t1n
    stealth          t1c
    cor t1 km        none
    0003             t2f

The words must stand together and in this order in a description or file name, compared without case, accents and punctuation. Of
several rules that fit, the one with the most words counts. "none" is never used. Four digits are nnU-Net's number of a channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from LDMSegLib.errors import InputError
from LDMSegLib.sequences.text import words

NONE = "none"


@dataclass(frozen=True)
class Rule:
    """Some words, the sequence they mean (or NONE), and the line as it was written."""

    words: tuple[str, ...]
    sequence: str
    line: str


@dataclass(frozen=True)
class SiteRules:
    """The rules of a file, in its order."""

    rules: tuple[Rule, ...] = ()
    file: str = ""

    def match(self, text: str) -> Rule | None:
        """The rule with the most words that fits a text; None where none fits.

        Raises:
            InputError: two rules of equally many words fit and say different things.
        """
        said = tuple(words(text))
        fits = [rule for rule in self.rules if _holds(said, rule.words)]
        longest = max((len(rule.words) for rule in fits), default=0)
        best = [rule for rule in fits if len(rule.words) == longest]
        if len({rule.sequence for rule in best}) > 1:
            raise InputError(
                f'two rules of {self.file} fit "{text}" ("{best[0].line}" and "{best[1].line}"), expected one answer; add a longer rule'
            )
        return best[0] if best else None


def read_site_rules(path: str | Path, names: Iterable[str]) -> SiteRules:
    """Read a file of rules.

    Args:
        path: of a text file in UTF-8.
        names: of the bundle's sequences; what a rule may say beside "none".

    Raises:
        InputError: no such file, a line without a tab, without words or with another sequence's name.
    """
    path, allowed = Path(path).expanduser(), [*names, NONE]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is no UTF-8 text"
        raise InputError(f"the site rules {path} cannot be read ({reason}), expected a text file; check the path") from None
    rules = []
    for number, line in enumerate(lines, start=1):
        text, _, sequence = (part.strip() for part in line.partition("\t"))
        if not line.strip() or line.startswith("#") or (text, sequence) == ("words", "sequence"):
            continue
        said = tuple(words(text))
        if "\t" not in line or not said or sequence not in allowed:
            raise InputError(
                f'line {number} of the site rules {path} is "{line.strip()}", expected words, a tab and one of {", ".join(allowed)}; '
                "correct it"
            )
        rules.append(Rule(said, sequence, line.strip().replace("\t", " → ")))
    return SiteRules(tuple(rules), path.name)


def _holds(said: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))
