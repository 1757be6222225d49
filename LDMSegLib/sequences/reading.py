"""What one text (a series description, a protocol name, a file name) says of an image: its weighting, and contrast agent.

Rules, in this order:

1. What follows "to", "reg", "coreg", "in" after a sequence's name is what the image was brought onto, not what it is.
2. A word for another kind of image (`vocabulary.OTHER`) makes it none of the sequences; so does a part of the body beside the brain.
3. T1, T2, FLAIR and PD by their names; "T1 FLAIR" is a T1, "T2" with a nulled fluid a FLAIR, "T2" of a gradient echo a T2*. Only
   where none of these is there, names of pulse sequences count (MPRAGE, BRAVO: T1).
4. Contrast agent: every name of an agent is read with the words around it. "Without" and "before" say no, "with" and "after" yes, both
   say nothing. A name after (or before) a word that is not in the vocabulary is unclear: in some language it may be a negation. Words
   before and after stand alone too ("T1 post"), unless an operation or a treatment follows ("T1 post op").
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

from LDMSegLib.sequences import vocabulary as v
from LDMSegLib.sequences.text import DASH, agent, known, words

T1, T2, FLAIR, OTHER = "t1", "t2", "flair", "other"
WITH, WITHOUT, EITHER, UNCLEAR = "with", "without", "either", "unclear"


@dataclass(frozen=True)
class Reading:
    """What a text says.

    `family` is T1, T2, FLAIR, OTHER or "" (nothing). `families` are all that fit where several do, and `family` is then "".
    `contrast` is WITH, WITHOUT, EITHER (it says both), UNCLEAR (an agent beside a word not known) or "" (nothing). `why` says in a few
    words what made it OTHER or what is not clear.
    """

    family: str = ""
    contrast: str = ""
    why: str = ""
    families: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=(), repr=False)


def read(text: str) -> Reading:
    """Read one text."""
    return read_words(tuple(words(text)))


@functools.lru_cache(maxsize=4096)
def read_words(said: tuple[str, ...]) -> Reading:
    """Read the words of a text (`text.words`)."""
    said = tuple(without_target(said))
    family, why, families = _family(said)
    contrast, unclear = _contrast(said)
    return Reading(family, contrast, why or unclear, families, said)


def is_sequence(word: str) -> bool:
    """Whether a word names a weighting."""
    return word in v.T1 | v.T2 | v.FLAIR | v.PROTON_DENSITY | v.WEAK_T1 | v.WEAK_T2 | v.WEAK_FLAIR


def without_target(said: Many[str]) -> list[str]:
    """The words without what an image was registered to: "FLAIR_to_T1" is a FLAIR."""
    for i, word in enumerate(said):
        if word in v.TARGET and any(is_sequence(w) for w in said[:i]):
            end = i + 1
            while end < len(said) and (said[end] in v.TARGET or said[end] in ("space", "the")):
                end += 1
            if end < len(said) and is_sequence(said[end]):
                t1 = said[end] in v.T1 | v.WEAK_T1
                end += 1
                while t1 and end < len(said) and (agent(said[end]) or said[end] in v.BEFORE | v.AFTER):
                    end += 1  # "T1_to_T1_Gd": the agent is the target's
                return [*said[:i], *said[end:]]
    return list(said)


# --- weighting -----------------------------------------------------------------------------------------------------------------------


def _family(said: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    there = set(said)
    strong = {name for name, group in ((T1, v.T1), (T2, v.T2), (FLAIR, v.FLAIR), ("pd", v.PROTON_DENSITY)) if there & group}
    if _dark_fluid(said):
        strong.add(FLAIR)
    if other := _other(said, strong):
        return OTHER, other, ()
    if T1 in strong and T2 not in strong and "pd" not in strong:
        return T1, "", ()
    if FLAIR in strong:
        return (FLAIR, "", ()) if T1 not in strong else ("", "it names T1 and T2", (T1, T2, FLAIR))
    if T2 in strong and there & v.FLUID_NULLED and T1 not in strong:
        return FLAIR, "", ()
    if T2 in strong and T1 not in strong and there & v.GRADIENT_ECHO:
        return OTHER, "a T2 of a gradient echo is a T2*", ()
    if "pd" in strong or (T2 in strong and T1 not in strong and _of_two_echoes(said)):
        return _double_echo(said, strong)
    if len(strong) > 1:
        return "", "it names T1 and T2", tuple(sorted(strong))
    if strong:
        return next(iter(strong)), "", ()
    for name, group in ((FLAIR, v.WEAK_FLAIR), (T1, v.WEAK_T1), (T2, v.WEAK_T2)):
        if there & group:
            return name, "", ()
    return "", "", ()


def _of_two_echoes(said: tuple[str, ...]) -> bool:
    pairs = set(itertools.pairwise(said))
    return "dualecho" in said or bool({(a, b) for a in ("dual", "double", "doppel") for b in ("echo", "tse", "fse", "se")} & pairs)


def _double_echo(said: tuple[str, ...], strong: set[str]) -> tuple[str, str, tuple[str, ...]]:
    """Proton density, alone or as the first echo of a T2."""
    if T2 not in strong:
        return OTHER, "proton density", ()
    pairs = set(itertools.pairwise(said))
    second = any(pair in pairs for pair in (("second", "echo"), ("2nd", "echo"), ("echo", "2"), ("zweites", "echo"), ("2", "echo")))
    first = any(pair in pairs for pair in (("first", "echo"), ("1st", "echo"), ("echo", "1"), ("erstes", "echo"), ("1", "echo")))
    if second != first:
        return (T2, "", ()) if second else (OTHER, "proton density, the first of two echoes", ())
    return "", "it names proton density and T2, and not which echo this is", (T2, OTHER)


def _dark_fluid(said: tuple[str, ...]) -> bool:
    pairs = set(itertools.pairwise(said))
    return bool({("dark", "fluid"), ("fluid", "attenuated"), ("fluid", "attenuation"), ("dark", "fl")} & pairs)


def _other(said: tuple[str, ...], strong: set[str]) -> str:
    there = set(said)
    pairs = set(itertools.pairwise(said))
    for what, group in v.OTHER.items():
        for word in said:
            if word in group and not _innocent(word, said, strong):
                return f'"{word}" names {what}'
    for word in said:
        if begun := next((what for start, what in v.OTHER_STARTS.items() if word.startswith(start)), ""):
            return f'"{word}" names {begun}'
    star = next((b for a, b in pairs if a in v.T2 and b in v.STAR), "")
    if star:
        return f'"{star}" names susceptibility-weighted or T2*'
    if ("phase", "contrast") in pairs or ("phasen", "kontrast") in pairs:
        return '"phase contrast" names angiography'
    if "phase" in there and not {"wrap", "oversampling", "late", "delayed", "spaete", "encoding", "enc", "dir"} & there:
        return '"phase" names a phase image'
    if any(
        (a == "minus" and ((b in v.T1 and said.count(b) > 1) or b in ("pre", "nativ", "native"))) or (a, b) == ("post", "minus")
        for a, b in pairs
    ):
        return '"minus" names a subtraction'
    if (
        any(len(w) > 1 and w[0] == "b" and w[1:].isdigit() for w in said) or any(a == "b" and b.isdigit() for a, b in pairs)
    ) and not strong:
        return "a b-value names diffusion"
    if {"opp", "outphase", "opposed", "outofphase"} & there or {("fat", "only"), ("out", "of")} & pairs or _of_fat(said):
        return "it is a fat or opposed-phase image"
    if "mp2rage" in there and {("t1", "images"), ("t1", "img")} & pairs:
        return "the T1 images of an MP2RAGE are a map"
    if (("bias", "field") in pairs and there & {"n4", "estimated", "estimate"}) or said[-2:] == ("bias", "field"):
        return "it is a bias field, not an image"
    part = [w for w in said if w in v.ANOTHER_PART or "wirbels" in w]
    if part and not there & v.BRAIN:
        return f'"{part[0]}" names another part of the body than the brain'
    return ""


def _of_fat(said: tuple[str, ...]) -> bool:
    """Whether it is the fat image of a Dixon acquisition: "FAT: Ax T1 FLEX", "t1_vibe_dixon_tra_F"; not one with suppressed fat."""
    pairs = set(itertools.pairwise(said))
    if {("dixon", "op"), ("mdixon", "op"), ("dixon", "ff"), ("mdixon", "ff")} & pairs:
        return True
    separated = set(said) & {"dixon", "mdixon", "flex", "ideal", "lava"}
    for i, word in enumerate(said):
        after = said[i + 1] if i + 1 < len(said) else ""
        if word == "fat" and after not in v.SUPPRESSED and (separated or i == 0):
            return not any(w in v.WITHOUT for w in said[max(0, i - 1) : i])
    return bool(separated) and "f" in said


def _innocent(word: str, said: tuple[str, ...], strong: set[str]) -> bool:
    """Whether a word that also names another kind of image says nothing here."""
    at = said.index(word)
    after = said[at + 1] if at + 1 < len(said) else ""
    if word == "sub":
        return after.isdigit() or (at == 0 and after != "" and not is_sequence(after))
    if word in ("steam", "press", "report", "screen", "processed", "results", "summary", "vr", "protocol", "dose"):
        return bool(strong)  # an id or a remark in the name of a sequence
    if word in ("r1", "r2", "ct", "cal", "map", "karte", "loc", "bolus", "pilot", "bold", "plan", "plane") and strong:
        return word in ("r1", "r2", "ct", "bolus")
    if word == "symri":
        return bool(strong)
    if word in ("dir", "pha"):
        return "phase" in said
    return False


# --- contrast agent ------------------------------------------------------------------------------------------------------------------

_OPERATORS = v.WITHOUT | v.WITH | v.BEFORE | v.AFTER | v.BOTH


def _contrast(said: tuple[str, ...]) -> tuple[str, str]:
    """What the words say of contrast agent, and, where that is not clear, why."""
    said = tuple(_without_operations(said))
    mentions: set[str] = set()
    why = ""
    used: set[int] = set()
    for i, word in enumerate(said):
        if i in used:
            continue
        if word in v.UNENHANCED:
            mentions.add(WITHOUT)
            used.add(i)
        elif _is_agent(said, i):
            said_here, taken = _of_agent(said, i)
            if said_here == UNCLEAR:
                why = why or _unclear(said, i)
            mentions.add(said_here)
            used |= taken
    for short, open_ in (("iv", "what was given"), ("pc", "whether that is before or after contrast agent")):
        if short in said and said.index(short) not in used and not mentions:
            return UNCLEAR, f'it says "{short}" and not {open_}'
    for i in range(len(said)):
        if i not in used and (alone := _alone(said, i)):
            mentions.add(alone)
            if alone == UNCLEAR:
                why = why or f'"{said[i]}" stands before "{said[i + 1]}", which is not understood'
    if not mentions:
        return "", ""
    if len(mentions) == 1:
        only = next(iter(mentions))
        return only, "it says with and without contrast agent" if only == EITHER else why
    if mentions == {WITH, UNCLEAR} or mentions == {WITHOUT, UNCLEAR}:
        return UNCLEAR, why
    return EITHER, "it says with and without contrast agent"


def _without_operations(said: tuple[str, ...]) -> list[str]:
    """The words without an operation or treatment, and without the "before" or "after" in front of it."""
    kept: list[str] = []
    for word in said:
        if word in v.SURGERY:
            while kept and (kept[-1] in v.BEFORE | v.AFTER or kept[-1] in ("and", "und", "et", "der", "la", "die", "status", "s", "p")):
                kept.pop()
            kept.append("surgery")
        elif word not in v.SURGERY_WHOLE:
            kept.append(word)
    return [w for w in kept if w != "surgery"]


def _is_agent(said: Many[str], i: int) -> bool:
    word = said[i]
    if not agent(word) and word not in v.WEAK_AGENT:
        return False
    before, after = (said[i - 1] if i else ""), (said[i + 1] if i + 1 < len(said) else "")
    if word.startswith(("contrast", "kontrast")) and before in (
        "mt",
        "multi",
        "high",
        "soft",
        "low",
        "phase",
        "tissue",
        "transfer",
        "t1t2",
    ):
        return False
    if word in v.WEAK_AGENT:
        if word in ("cm", "iv", "k") and before.isdigit():
            return False  # a length
        strong = (_OPERATORS - {"w", "s", "m", "con", "z", "c", "o"}) | v.WITHOUT | {"with"}
        glued = word == "c" and before in v.T1 | v.WEAK_T1
        if word == "con":
            return before in strong | {"w"} and (after == "" or not agent(after))
        if word in ("agent", "mezzo") and (agent(before) or agent(after)):
            return True
        short = word in ("cm", "c", "k", "iv", "ku", "sk", "mc") and before in ("w", "m", "o", "s", "z", "con", "com")
        return glued or short or before in strong or after in ("plus", "minus")
    return True


def _of_agent(said: Many[str], i: int) -> tuple[str, set[int]]:
    """What is said by one agent's name with the words around it, and which words were used up by that."""
    used = {i}
    end = i
    while end + 1 < len(said) and (agent(said[end + 1]) or said[end + 1] in ("agent", "medium", "mittel")):
        end += 1
        used.add(end)
    left: list[str] = []
    at = i - 1
    while at >= 0 and (
        _prior_to(said, at)
        or said[at] in _OPERATORS | v.GIVEN
        or said[at] in v.ARTICLE
        or said[at] in v.AND
        or agent(said[at])
        or said[at] == DASH
    ):
        if said[at] in ("iv", "i") and at - 1 >= 0 and said[at - 1] not in _OPERATORS | v.ARTICLE:
            break
        left.insert(0, said[at])
        used.add(at)
        at -= 1
    if any(w in v.BOTH for w in left):
        return EITHER, used
    if left and left[-1] == "s" and not said[i].startswith(("kontrast", "ku", "sk", "gadolin", "usil")):
        return UNCLEAR, used  # with in Slavic languages, without in Italian and Spanish
    if any(_kind(w) and w not in v.ALSO_ARTICLES for w in left):
        left = [w for w in left if w not in v.ALSO_ARTICLES]  # "após o contraste", "depois do contraste"
    kinds = [_kind(w) for w in left if _kind(w)]
    if any((a in v.WITHOUT and b in v.WITH) or (a in v.WITH and b in v.WITHOUT) for a, b in itertools.pairwise(left)):
        return EITHER, used
    right = _kind(said[end + 1]) if end + 1 < len(said) else ""
    if right and _of_something_else(said, end + 1):
        right = ""
    if right:
        used.add(end + 1)
    joined = any(w in v.AND for w in left)
    if kinds and at >= 0 and _unknown(said[at]) and all(w in v.ALSO_ARTICLES for w in left if _kind(w)):
        return UNCLEAR, used  # "do" is before in Russian and "of the" in Portuguese: the word in front of it decides
    if kinds:
        told = _combined([w for w in left if _kind(w)], joined)
        return (EITHER if right and right != told else told), used
    if right:
        return right, used
    if DASH in left:
        return UNCLEAR, used
    if said[i].startswith(("contras", "kontras")) and not v.AGENT_ENDINGS.fullmatch(said[i]):
        return UNCLEAR, used
    if (at >= 0 and _unknown(said[at])) or (end + 1 < len(said) and _unknown(said[end + 1])):
        return UNCLEAR, used
    return WITH, used


def _prior_to(said: Many[str], at: int) -> bool:
    return said[at] == "to" and at > 0 and said[at - 1] in v.BEFORE


def _combined(operators: list[str], joined: bool) -> str:
    """The operators in front of an agent: "no post" is without, "with and without" either."""
    kinds = {_kind(word) for word in operators}
    if len(kinds) == 1:
        return kinds.pop()
    if joined:
        return EITHER
    # A negation in front of the rest is about all of it; behind it the nearest word is about the agent.
    return WITHOUT if operators[0] in v.WITHOUT else EITHER


def _kind(word: str) -> str:
    if word in v.WITHOUT or word in v.BEFORE:
        return WITHOUT
    if word in v.WITH or word in v.AFTER:
        return WITH
    return ""


def _of_something_else(said: Many[str], i: int) -> bool:
    """Whether an operator behind an agent's name belongs to what follows: "GD no fs", "GD pre RT", "Gd w/o fs", "KM in ..."."""
    word, rest = said[i], said[i + 1 :]
    if word in v.BEFORE | v.AFTER and word not in v.WEAK_OPERATORS:
        return bool(rest) and agent(rest[0])
    if word in (
        "plus",
        "minus",
        "yok",
        "nashi",
        "ari",
        "go",
        "mae",
        "once",
        "sonra",
        "positive",
        "negative",
        "neg",
        "olmadan",
        "nelkul",
        "siz",
        "suz",
        "free",
        "frei",
    ):
        return False
    if word in v.WITHOUT and word not in ("s", "o"):
        return bool(rest) and not (rest[0] in v.GIVEN or rest[0] in v.PLANE or is_sequence(rest[0]))
    return True


def _unknown(word: str) -> bool:
    return word.isalpha() and not known(word)


def _unclear(said: Many[str], i: int) -> str:
    around = [w for w in (said[i - 1] if i else "", said[i + 1] if i + 1 < len(said) else "") if w and (_unknown(w) or w == DASH)]
    beside = "a dash" if around and around[0] == DASH else f'"{around[0]}"' if around else "another word"
    return f'contrast agent ("{said[i]}") beside {beside}, which is not understood'


def _alone(said: Many[str], i: int) -> str:
    """What a word for with, without, before or after says without an agent's name."""
    word = said[i]
    rest = said[i + 1 :]
    if word in v.BOTH:
        return EITHER
    if word in v.WITHOUT:
        before = [w for w in said[max(0, i - 2) : i] if w not in v.AND]
        if (rest and rest[0] in v.AND | v.WITH and any(w in v.WITH for w in rest[:2])) or (before and before[-1] in v.WITH):
            return EITHER
        if word in ("minus", "o", "no", "non", "not", "nie", "neg", "negative", "un", "net", "none", "nein", "nao", "nil", "free", "frei"):
            return ""
        ends = not rest or rest[0] in v.PLANE or is_sequence(rest[0]) or rest[0].isdigit()
        return WITHOUT if ends else ""
    if word in v.WITH - {"z", "ze", "s", "w", "con", "m", "so", "sa", "com", "met", "med", "ile", "ari", "positive"}:
        if rest and rest[0] in v.AND and len(rest) > 1 and rest[1] in v.WITHOUT:
            return EITHER
        ends = not rest or (word == "plus" and is_sequence(rest[0])) or rest[0] in v.PLANE
        previous = said[i - 1] if i else ""
        return WITH if ends and (word != "plus" or not rest or previous in v.T1 | v.WEAK_T1) else ""
    if word in v.WEAK_OPERATORS or (word in v.BEFORE and word in ("basal", "plan", "blank", "simple", "sade") and not _names_t1(said)):
        return ""
    if word in ("native", "nativ") and rest and rest[0] == "space":
        return ""
    if word in v.BEFORE:
        return EITHER if i and said[i - 1] in _NOT else WITHOUT
    if word in v.AFTER:
        if i and said[i - 1] in _NOT:
            return WITHOUT
        return UNCLEAR if rest and len(rest[0]) > 3 and _unknown(rest[0]) and word not in _LATE else WITH
    return ""


_LATE = frozenset("delayed delay late spaet spat tardif tardive tardivo tardio pozdnie".split())
_NOT = v.WITHOUT & frozenset("no non not nie nicht ikke inte nao net kein keine niet pas".split())


def _names_t1(said: Many[str]) -> bool:
    return any(w in v.T1 | v.WEAK_T1 for w in said)
