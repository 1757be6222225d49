"""A description or a file name as plain words: accents, scripts, signs and words that are written as one are taken apart.

"T1 après GADO" becomes t1 apres gado, "AX T1 W/O" ax t1 without, "T1 -Gd" t1 minus gd, "T2*" t2star, "T1Gd" and "t1gd" t1 gd.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from LDMSegLib.sequences import vocabulary as v

DASH = "dash"
"""A hyphen between spaces before an agent's name: a separator for some, a minus for others."""

_LETTERS = str.maketrans(
    {"ß": "ss", "ł": "l", "Ł": "L", "ø": "oe", "Ø": "Oe", "æ": "ae", "Æ": "Ae", "œ": "oe", "ı": "i", "đ": "d", "−": "-", "–": "-", "—": "-"}
)
_CYRILLIC = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        "a b v g d e e zh z i j k l m n o p r s t u f h c ch sh shch  y  e yu ya".split(" "),
        strict=True,
    )
)
_SCRIPTS = {
    **{
        "非造影": " hizoei ",
        "造影後": " zoei go ",
        "造影前": " zoei mae ",
        "造影なし": " zoei nashi ",
        "造影": " zoei ",
        "単純": " tanjun ",
    },
    **{"增强后": " post contrast ", "增强前": " pre contrast ", "增强": " contrast ", "平扫": " plain ", "강조": " ", "조영": " contrast "},
    **{"前": " mae ", "後": " go ", "差分": " subtraction ", "拡散": " diffusion ", "灌流": " perfusion "},
}
_AGENT = r"(?:gd|gad|gado\w*|gada\w*|km|ku|ce|c|k|iv|inj\w*|contrast\w*|kontrast\w*|contr|pdc|mdc|cm|mc|zoei|zouei|dotarem|magnevist)"
_SIGNS = (
    (r"mp(2?)[\s-]rage", r"mp\1rage"),
    (r"t2\s?(w?)\s?\*", r" t2star "),
    (r"(?<![a-z0-9])w\s?/\s?wo(?![a-z0-9])", " wwo "),
    (r"\+\s?/\s?-|±|\(\+\s?-\)", " wwo "),
    (r"(?<![a-z0-9])w\s?[/.\\-]\s?o(?:ut)?(?![a-z0-9])\.?", " without "),
    (r"(?<![a-z0-9])w(?:ith)? o(?:ut)?(?![a-z0-9])", " without "),
    (r"(?<![a-z0-9])w/", " with "),
    (r"(?<![a-z0-9])s/c(?![a-z0-9])", " without contrast "),
    (r"(?<![a-z0-9])c/c(?![a-z0-9])", " with contrast "),
    (rf"(?<![a-z0-9])(?:{_AGENT}\s?[-/]\s?nati[vf]\w*|nati[vf]\w*\s?/\s?{_AGENT})(?![a-z0-9])", " wwo "),
    (r"(?<![a-z0-9])s/(?=\s?k(?:ontrast|u|m))", " s "),  # Slavic: with
    (r"(?<![a-z0-9])s/(?=\s?[a-z])", " sin "),
    (r"(?<![a-z0-9])c/(?=\s?[a-z])", " with "),
    (r"(?<![a-z0-9])s/p(?![a-z0-9])", " "),
    (r"(?<![a-z0-9])o\.(?=\s?[a-z])", " ohne "),
    (r"(?<![a-z0-9])(t1w?)\s?(c|ce|gd|gad|km)-(?=[\s,;)_.]|$)", r" \1 \2 minus "),
    (r"(?<![a-z0-9])v/v(?![a-z0-9])", " vv "),
    (r"\(\s?-\s?\)", " minus "),
    (r"\(\s?\+\s?\)", " plus "),
    (rf"(?<![a-z0-9])({_AGENT})\s?\+", r" \1 plus "),
    (rf"(?<![a-z0-9])({_AGENT})-(?:ve)?(?=[\s,;)_.]|$)", r" \1 minus "),
    (rf"(?<![a-z0-9])({_AGENT})\s-(?=\s*$)", r" \1 minus "),
    (rf"(?:(?<=[\s(_,;])|^)-({_AGENT})(?![a-z0-9])", r" minus \1 "),
    (rf"\s-\s(?={_AGENT}(?![a-z0-9]))", f" {DASH} "),
    (r"\+", " plus "),
    (r"&", " and "),
)
_PATTERNS = tuple((re.compile(pattern), put) for pattern, put in _SIGNS)


_DOTTED = re.compile(r"(?<![a-z0-9])(?:[a-z]\.){2,}[a-z]?(?![a-z0-9])")


def words(text: str) -> list[str]:
    """The words of a text, in lower case and without accents; what is written as one word is taken apart where its parts are known."""
    text = _latin(text)
    text = _WITH_CAPITALS.sub(_by_capitals, text).lower().replace("_", " ")
    for pattern, put in _PATTERNS:
        text = pattern.sub(put, text)
    text = _DOTTED.sub(lambda dotted: dotted.group().replace(".", ""), text)  # "m.d.c."
    found: list[str] = []
    for run in re.findall(r"[a-z0-9]+", text):
        if found and found[-1] == "t" and run in ("1", "2"):
            found[-1] = f"t{run}"  # "T 1" and "T-2"
        else:
            found += _apart(run)
    return found


def _latin(text: str) -> str:
    for script, word in _SCRIPTS.items():
        text = text.replace(script, word)
    text = text.translate(_LETTERS)
    text = "".join(_cyrillic(letter) for letter in text)
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


_WITH_CAPITALS = re.compile(r"[A-Za-z0-9]*(?:[a-z][A-Z]|[a-z]\d+(?:T[12]|F[Ll]))[A-Za-z0-9]*")
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z0-9])(?=(?:T[12](?![0-9m])|F(?:LAIR|lair)))")


def _by_capitals(run: re.Match[str]) -> str:
    """Write "T1PreGd" as "T1 Pre Gd"; "PdC" and "ProHance" as they are."""
    whole = run.group()
    return whole if known(whole.lower()) else _NEW_WORD.sub(" ", whole)


def _cyrillic(letter: str) -> str:
    latin = _CYRILLIC.get(letter.lower())
    return letter if latin is None else latin.upper() if letter.isupper() else latin


_STEMS = {"t1": "t1", "t1w": "t1", "t2": "t2", "t2w": "t2", "flair": "flair", "mprage": "mprage", "bravo": "bravo", "spgr": "spgr"}
_OPERATORS = tuple(
    sorted(
        (word for word in v.BEFORE | v.AFTER | v.WITHOUT | v.WITH if len(word) > 2 and word not in ("not", "con", "una")),
        key=len,
        reverse=True,
    )
)
_ONLY_AFTER = {"c": ("t1", "mprage"), "n": ("t1",), "f": ("t2",), "w": ("t1", "t2", "star"), "g": ("t1",), "p": ("flair",)}
_MEANT = {"n": "native", "f": "flair", "g": "gd", "c": "ce"}
_BEFORE_STEM = tuple("sagittal coronal axial sag cor tra ce ax 3d 2d ir c r s w".split())
_PIECES = tuple(
    sorted(
        {
            *_STEMS,
            *(word for word in v.AGENT - v.WEAK_AGENT | {"con"} if len(word) > 1),
            *(word for word in v.BEFORE | v.AFTER | v.WITHOUT | v.WITH if len(word) > 2),
            *"contrast kontrast gado gadolinium gadovist enhanced enh without ohne sans non wo mit with nativ native".split(),
            *"ax axial sag sagittal cor coronal tra 3d 2d fs se fse tse ffe tfe gre spc space cube vibe flair star map tirm brain".split(),
            *"iso swi adc dwi sub stripped norm gradientecho perf perfusion".split(),
            *_ONLY_AFTER,
        },
        key=len,
        reverse=True,
    )
)


@functools.lru_cache(maxsize=4096)
def _apart(run: str) -> tuple[str, ...]:
    """One run of letters and digits as the known words it is made of; itself where it is known or isn't made of known words."""
    if known(run) or run.isdigit() or re.fullmatch(r"b\d{1,5}|\d+(mm|t|min|sl)|\d+", run):
        return (run,)
    if fits := re.fullmatch(r"(t?fl[23]d|tse[23]d|se2d|spcir|spc|tir2d|tirm|ep2d|ep3d|fm2d|fm3d|tfi3d|qfl)\w*", run):
        return (fits.group(1),)  # Siemens' names of pulse sequences: "tfl3d1_16ns"
    if fits := re.fullmatch(r"(po|na|do|bez|met|con|com|sin|sem|med|z|s)((?:kontras|contras|gado)\w*|km|gd)", run):
        return fits.groups()
    if fits := re.fullmatch(r"([cs])(mdc|pdc|cte|contr\w*|gado\w*)", run):
        return ("with" if fits.group(1) == "c" else "sin", fits.group(2))  # "c/mdc", where the sign is lost in a file's name
    if fits := re.fullmatch(r"(ce|gd|gad|gado|km)(2d|3d)", run):
        return fits.groups()
    for operator in _OPERATORS:
        rest = run.removeprefix(operator)
        if rest != run and len(rest) > 1 and agent(rest):
            return (operator, rest)
    for head in ("ax", "sag", "cor", "tra"):
        rest = run.removeprefix(head)
        if rest != run and known(rest):
            return (head, rest)
    parts = _pieces(run, ())
    return tuple(_MEANT.get(part, _STEMS.get(part, part)) for part in parts) if parts else (run,)


def _pieces(run: str, before: tuple[str, ...]) -> tuple[str, ...] | None:
    """The first way to take a run apart into `_PIECES`, longest first, that holds a sequence's name or an operator and an agent."""
    if not run:
        stems = any(part in _STEMS for part in before)
        pair = any(part in v.BEFORE | v.AFTER | v.WITHOUT | v.WITH for part in before) and any(agent(part) for part in before)
        return before if len(before) > 1 and (stems or pair) else None
    for piece in _PIECES:
        if not run.startswith(piece):
            continue
        if piece in _ONLY_AFTER and not (before and _STEMS.get(before[-1], before[-1]) in _ONLY_AFTER[piece]):
            continue
        if found := _pieces(run[len(piece) :], (*before, piece)):
            return found
    if not before:
        for piece in _BEFORE_STEM:
            rest = run.removeprefix(piece)
            if (
                rest != run
                and any(rest.startswith(stem) for stem in _STEMS)
                and (found := _pieces(rest, ("ce" if piece == "c" else piece,)))
            ):
                return found
    return None


def agent(word: str) -> bool:
    """Whether a word is the name of contrast agent or of its giving."""
    return word in v.AGENT or word in v.ENHANCED or (word.startswith(v.AGENT_STARTS) and word not in v.UNENHANCED)


@functools.lru_cache(maxsize=4096)
def known(word: str) -> bool:
    """Whether the vocabulary has a word in any sense."""
    return word in _ALL or agent(word)


_ALL = frozenset().union(
    *(v.T1, v.T2, v.FLAIR, v.PROTON_DENSITY, v.WEAK_T1, v.WEAK_T2, v.WEAK_FLAIR, v.FLUID_NULLED, v.GRADIENT_ECHO, *v.OTHER.values()),
    *(
        v.ANOTHER_PART,
        v.BRAIN,
        v.STAR,
        v.AGENT,
        v.WEAK_AGENT,
        v.UNENHANCED,
        v.ENHANCED,
        v.WITHOUT,
        v.WITH,
        v.BEFORE,
        v.AFTER,
        v.BOTH,
        v.AND,
    ),
    *(v.GIVEN, v.ARTICLE, v.SURGERY, v.SURGERY_WHOLE, v.TARGET, v.PLANE, v.TECHNIQUE, v.FAT_OBJECT),
)
