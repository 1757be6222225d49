"""Of a case's T1 images, which were acquired before and which after contrast agent: the classic to get wrong.

Swapping them makes a plausible and wrong result, so each verdict rests on evidence that agrees:

- Words and header agree, or the words are clear and the header says nothing: certain.
- The header alone names an agent: many a scanner writes it into every series, so it counts only where another T1 has no such entry.
- Words and header contradict each other: if the header says the same of all T1 images it tells nothing and the words count; else ask.
- Neither says anything: after one with agent (by the clock, over midnight too) it is one as well, before it is a native one. Of two,
  clock and grey values decide together (`compare`). What is left is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from LDMSegLib.sequences.identified import CERTAIN, LIKELY
from LDMSegLib.sequences.reading import EITHER, UNCLEAR, WITH, WITHOUT
from LDMSegLib.sequences.text import words
from LDMSegLib.sequences.vocabulary import BEFORE, UNENHANCED
from LDMSegLib.sequences.vocabulary import WITHOUT as WITHOUT_WORDS

# Two acquisitions nearer in time than this may be one, reconstructed twice.
FEWEST_MINUTES = 1.0
NATIVE, AFTER = "t1n", "t1c"


@dataclass(frozen=True)
class T1Image:
    """What is known of one T1 image.

    `contrast` and `why` are of its words (`reading.Reading`), `text` the words themselves; `tag` and `agent` of its header (None: the
    header says nothing). `when` is (day, seconds of the day) of its acquisition, each None where unknown; `study` tells studies apart.
    """

    name: str
    contrast: str = ""
    text: str = ""
    why: str = ""
    tag: bool | None = None
    agent: str = ""
    when: tuple[int | None, float | None] = (None, None)
    study: str = ""


class Comparison(Protocol):
    """What two T1 images tell by clock and grey values, see `sequences.t1_pair.Told`."""

    @property
    def after(self) -> int:
        """Which of the two was acquired after contrast agent: 0 or 1."""

    @property
    def why(self) -> str:
        """What told them apart."""

    @property
    def certainty(self) -> str:
        """How sure that is, in the words of an identification."""

    @property
    def native_reason(self) -> str:
        """Why the other is the native one."""

    @property
    def after_reason(self) -> str:
        """Why this one was acquired after contrast agent."""


@dataclass(frozen=True)
class Verdict:
    """NATIVE or AFTER, how far to trust it and why; or "" and why it is neither."""

    sequence: str
    certainty: str
    reason: str


@dataclass(frozen=True)
class Settled:
    """One verdict for each image, and what has to be asked: `asked` are the sequences that stay open, `why` is the reason."""

    verdicts: tuple[Verdict, ...]
    asked: tuple[str, ...] = ()
    why: str = ""
    about: tuple[int, ...] = ()


def tag_of(entry: str) -> bool | None:
    """What the header's entry for the agent says: True where it names one, False where it says none, None where it is empty."""
    said = words(entry)
    if not said:
        return None
    if re.fullmatch(r"[0.,]+\s*(ml|cc|mmol.*)?", entry.strip().lower()):
        return False
    if set(said) <= {"unknown", "unk", "unbekannt", "inconnu"}:
        return None
    return not (set(said) <= {"n", "na", "a", "0", "false", *UNENHANCED, *BEFORE} or said[0] in WITHOUT_WORDS)


def minutes_between(first: T1Image, second: T1Image) -> float | None:
    """Minutes from one acquisition to the other within one study; None where that is not known."""
    (day, clock), (other_day, other) = first.when, second.when
    if clock is None or other is None or first.study != second.study:
        return None
    if day is not None and other_day is not None:
        return (other_day - day) * 1440.0 + (other - clock) / 60.0
    minutes = (other - clock) / 60.0
    # Half a day apart without a date: one of the two may lie behind midnight.
    return minutes if abs(minutes) < 720.0 else None


def settle(images: Sequence[T1Image], compare: Callable[[int, int], Comparison] | None = None, plain_is_native: bool = False) -> Settled:
    """Give a verdict on every T1 image of a case.

    Args:
        images: all of them.
        compare: told two indices, compares these images by clock and grey values; None where that can't be done.
        plain_is_native: whether a T1 that names no agent is the native one even without another that does, as in file names.

    Returns:
        The verdicts in the order of the images, and what is left to be asked.
    """
    return _Settling(images, compare, plain_is_native).result()


class _Settling:
    def __init__(self, images: Sequence[T1Image], compare: Callable[[int, int], Comparison] | None, plain_is_native: bool) -> None:
        self.images, self.compare, self.plain_is_native = images, compare, plain_is_native
        self.verdicts: dict[int, Verdict] = {}
        self.asked: tuple[str, ...] = ()
        self.why = ""
        self.about: tuple[int, ...] = ()
        tags = [image.tag for image in images]
        self.same_tags = len(images) > 1 and len(set(tags)) == 1 and tags[0] is not None

    def result(self) -> Settled:
        for i, image in enumerate(self.images):
            self._by_words(i, image)
        self._by_tags()
        open_ = [i for i in range(len(self.images)) if i not in self.verdicts]
        if any(v.sequence == AFTER for v in self.verdicts.values()):
            self._beside_known(open_)
        elif open_:
            self._without_known(open_)
        rest = Verdict("", "", "nothing says whether it was acquired before or after contrast agent")
        return Settled(tuple(self.verdicts.get(i, rest) for i in range(len(self.images))), self.asked, self.why, self.about)

    def _by_words(self, i: int, image: T1Image) -> None:
        contrast = image.contrast
        if contrast == UNCLEAR and image.tag and not self.same_tags:
            self.verdicts[i] = Verdict(AFTER, CERTAIN, f'"{image.text}" and its header ({image.agent}) name contrast agent')
        elif contrast in (WITH, WITHOUT):
            sequence, opposite = (AFTER, False) if contrast == WITH else (NATIVE, True)
            if image.tag is not opposite:
                agrees = " and so does its header" if image.tag is not None else ""
                self.verdicts[i] = Verdict(sequence, CERTAIN, f'"{image.text}" says so{agrees}')
            elif self.same_tags:
                reason = f'"{image.text}" says so; its header says otherwise, but the same of all T1 images'
                self.verdicts[i] = Verdict(sequence, LIKELY, reason)

    def _by_tags(self) -> None:
        """Images whose words say nothing, and whose header does."""
        untagged = [i for i, image in enumerate(self.images) if not image.tag]
        believed = not any(v.sequence == AFTER and not self.images[i].tag for i, v in self.verdicts.items())
        for i, image in enumerate(self.images):
            if i in self.verdicts or image.contrast:
                continue
            if image.tag is False and not self.same_tags:
                self.verdicts[i] = Verdict(NATIVE, LIKELY, "its header says without contrast agent")
            elif image.tag and untagged and believed:
                reason = f"its header names {image.agent or 'an agent'}, and that of another T1 image doesn't"
                self.verdicts[i] = Verdict(AFTER, LIKELY, reason)

    def _beside_known(self, open_: list[int]) -> None:
        """T1 images that are not clear, beside one that is known to be after contrast agent."""
        after = [i for i, v in self.verdicts.items() if v.sequence == AFTER]
        unclear = []
        for i in open_:
            image = self.images[i]
            later = [m for k in after if (m := minutes_between(self.images[k], image)) is not None]
            if later and max(later) >= FEWEST_MINUTES:
                self.verdicts[i] = Verdict(AFTER, LIKELY, "it is a T1 image acquired after one with contrast agent")
            elif later and max(later) <= -FEWEST_MINUTES and not _contradictory(image):
                self.verdicts[i] = Verdict(NATIVE, LIKELY, "it is a T1 image acquired before the one with contrast agent")
            elif not image.contrast and not image.tag:
                sure = CERTAIN if self.plain_is_native else LIKELY
                self.verdicts[i] = Verdict(NATIVE, sure, "it is a T1 image that names no contrast agent, and another one does")
            else:
                unclear.append(i)
        if unclear:
            for i in unclear:
                self.verdicts[i] = Verdict("", "", _reason(self.images[i]))
            if not any(v.sequence == NATIVE for v in self.verdicts.values()):
                self._ask(unclear, _reason(self.images[unclear[0]]), (NATIVE,))

    def _without_known(self, open_: list[int]) -> None:
        """T1 images that are not clear, where none is known to be after contrast agent."""
        native = [i for i, v in self.verdicts.items() if v.sequence == NATIVE]
        plain = [i for i in open_ if not self.images[i].contrast and not self.images[i].tag]
        if self.plain_is_native and not native and len(plain) == len(open_):
            for i in open_:
                self.verdicts[i] = Verdict(NATIVE, CERTAIN, f'"{self.images[i].text}" names a T1 and no contrast agent')
            return
        if len(open_) == 2 and not native and self.compare:
            return self._pair(*open_)
        if len(open_) == 1 and native and (self.compare or self.images[open_[0]].contrast == UNCLEAR):
            return self._pair(native[0], open_[0], first_known=True)
        special = [i for i in open_ if i not in plain]
        why = _reason(self.images[special[0]]) if special else "nothing says which were acquired before and which after contrast agent"
        self._ask(open_, why, (NATIVE, AFTER) if not native else (AFTER,))

    def _pair(self, first: int, second: int, first_known: bool = False) -> None:
        told = self.compare(first, second) if self.compare else None
        after = told.after if told else 0
        if not after and first_known and self.images[second].contrast == UNCLEAR:
            self.verdicts[second] = Verdict(AFTER, LIKELY, f'"{self.images[second].text}" names an agent, and the other T1 image is native')
            return
        if not after or (first_known and after < 0):
            why = (told.why if told else "") or (
                "the image that is known as T1 before contrast agent looks like the later one, so nothing tells"
            )
            self.verdicts.pop(first, None)
            reasons = [self.images[i].why or _reason(self.images[i]) for i in (first, second) if _special(self.images[i])]
            said = f"{reasons[0]}, and " if reasons else ""
            return self._ask([first, second], f"{said}{why} which was acquired after contrast agent", (NATIVE, AFTER))
        native, later = (first, second) if after > 0 else (second, first)
        for one, sequence, reason in ((native, NATIVE, told.native_reason), (later, AFTER, told.after_reason)):
            if not (first_known and one == first):
                self.verdicts[one] = Verdict(sequence, told.certainty, f"of the two T1 images {reason}")

    def _ask(self, images: Sequence[int], why: str, asked: tuple[str, ...]) -> None:
        self.asked, self.why, self.about = asked, why, tuple(images)


def _contradictory(image: T1Image) -> bool:
    return (image.contrast == WITH and image.tag is False) or (image.contrast == WITHOUT and image.tag is True)


def _special(image: T1Image) -> bool:
    return _contradictory(image) or image.contrast in (EITHER, UNCLEAR)


def _reason(image: T1Image) -> str:
    """Why one image's own evidence is not enough."""
    if _contradictory(image):
        header = f"names {image.agent}" if image.tag else "says there was none"
        return f'its description ("{image.text}") and its header ({header}) contradict each other about contrast agent'
    if image.contrast in (EITHER, UNCLEAR):
        return f'"{image.text}" is not clear: {image.why or "it says with and without contrast agent"}'
    if image.tag:
        return f"only its header names contrast agent ({image.agent}), which many scanners write into every series"
    return "nothing says whether it was acquired before or after contrast agent"
