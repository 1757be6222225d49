"""Which file is which sequence, by the words of its name, once what all names of the case share is left out.

Shared words are an id, a session, a remark: `POST-001_T1`, `sub-01_ses-post_T1w`. They are dropped before a name is read, except names of
sequences. Names of agents are kept where they follow the sequence's name: `T1_gd` and `T2_gd` may both have been acquired after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path

from LDMSegLib.sequences import text
from LDMSegLib.sequences.identified import CERTAIN
from LDMSegLib.sequences.names import Named, named, without_entities
from LDMSegLib.sequences.reading import FLAIR, T1, T2, UNCLEAR, Reading, is_sequence, read, read_words, without_target
from LDMSegLib.sequences.site_rules import NONE, SiteRules
from LDMSegLib.sequences.t1 import NATIVE, T1Image, settle
from LDMSegLib.specification import Sequence

_BIAS_CORRECTED = frozenset("bias n4 biascorr biascorrected corrected corr unbiased".split())


@dataclass(frozen=True)
class NamedFile:
    """One file: the sequences that it may be (one where it is clear), how sure, and why it is that or none of them."""

    file: Path
    names: tuple[str, ...]
    certainty: str
    reason: str


def read_files(
    files: Iterable[Path],
    stems: Iterable[str],
    sequences: Many[Sequence],
    rules: SiteRules = SiteRules(),  # noqa: B008 -- frozen
) -> list[NamedFile]:
    """Read the names of one case's images.

    Args:
        files: the images alone, no masks or results.
        stems: their names without ending.
        sequences: of the bundle's specification.
        rules: the site's own, which come before the names' words.

    Returns:
        One entry a file, in order.

    Raises:
        InputError: two of the site's rules contradict each other.
    """
    files, stems = list(files), list(stems)
    ruled = [rules.match(stem) for stem in stems]
    open_ = [i for i, rule in enumerate(ruled) if rule is None]
    readings = dict(zip(open_, _with_folders([stems[i] for i in open_], [files[i] for i in open_]), strict=True))
    found: dict[int, NamedFile] = {}
    told = {i: named(readings[i], stems[i], sequences) for i in open_}
    for i, rule in enumerate(ruled):
        if rule is not None:
            names = () if rule.sequence == NONE else (rule.sequence,)
            found[i] = NamedFile(files[i], names, CERTAIN, f'the site\'s rule "{rule.line}"')
        elif not (readings[i].family == "t1" and told[i].names):
            found[i] = _plainly(files[i], told[i])
    t1 = [i for i in open_ if i not in found]
    known = {name for one in found.values() if len(one.names) == 1 for name in one.names}
    found |= dict(zip(t1, _t1([files[i] for i in t1], [stems[i] for i in t1], [readings[i] for i in t1], sequences, known), strict=True))
    return _without_twins([found[i] for i in range(len(files))], stems)


def _without_twins(told: list[NamedFile], stems: list[str]) -> list[NamedFile]:
    """Of two files that differ only by a word for bias-field correction (UCSF-PDGM's "_T1" and "_T1_bias") the plain one is used."""
    result = list(told)
    said = [text.words(stem) for stem in stems]
    plain = [[word for word in one if word not in _BIAS_CORRECTED] for one in said]
    for i, one in enumerate(told):
        twins = [k for k, other in enumerate(told) if k != i and len(one.names) == 1 and other.names == one.names and plain[k] == plain[i]]
        if any(said[k] == plain[k] for k in twins) and said[i] != plain[i]:
            why = "another file is the same image without correction of the bias field"
            result[i] = NamedFile(one.file, (), "", why)
    return result


def _plainly(file: Path, told: Named) -> NamedFile:
    if told.clear:
        return NamedFile(file, told.names, CERTAIN, "its name says so")
    if told.names:
        names = (*told.names, NONE) if len(told.names) == 1 else told.names
        return NamedFile(file, names, "", told.why or "its name fits both")
    return NamedFile(file, (), "", told.other or "its name names no sequence")


def _t1(files: list[Path], stems: list[str], readings: list[Reading], sequences: Many[Sequence], known: set[str]) -> list[NamedFile]:
    """T1 images: before or after contrast agent."""
    images = [T1Image(stem, one.contrast, stem, one.why) for stem, one in zip(stems, readings, strict=True)]
    settled = settle(images, plain_is_native=True)
    there = {s.name for s in sequences}
    both = tuple(name for name in ("t1n", "t1c") if name in there)
    result = []
    for k, (file, verdict) in enumerate(zip(files, settled.verdicts, strict=True)):
        if verdict.sequence in there and not (verdict.sequence == NATIVE and _superfluous(k, settled.verdicts, images)):
            result.append(NamedFile(file, (verdict.sequence,), verdict.certainty, verdict.reason))
        elif verdict.sequence == NATIVE and NATIVE in there:
            result.append(NamedFile(file, (), "", "it names no contrast agent, and another file says that it is the native T1"))
        elif verdict.sequence or len(both) < 2 or not set(settled.asked) - known:
            result.append(NamedFile(file, (), "", verdict.reason))
        else:
            why = settled.why if k in settled.about else verdict.reason
            result.append(NamedFile(file, both, "", why))
    return result


def _superfluous(k: int, verdicts: tuple, images: list[T1Image]) -> bool:
    """Whether a T1 that says nothing is only presumed to be native, beside one that says it is."""
    said = [i for i, v in enumerate(verdicts) if v.sequence == NATIVE and images[i].contrast]
    return bool(said) and not images[k].contrast


def _with_folders(stems: list[str], files: list[Path]) -> list[Reading]:
    return [_or_folder(one, file, files) for one, file in zip(read_together(stems), files, strict=True)]


def read_together(texts: Many[str]) -> list[Reading]:
    """Read the names of one case's images, each without what all that name a sequence share."""
    said = [without_target(text.words(without_entities(one))) for one in texts]
    whole = [read_words(tuple(one)) for one in said]
    sequences = [k for k, one in enumerate(whole) if one.families or one.family in (T1, T2, FLAIR)]
    if len(sequences) < 2:
        return whole
    shared = set.intersection(*(set(said[k]) for k in sequences))
    alike = len({whole[k].family for k in sequences}) == 1
    readings = [read_words(tuple(_own(one, shared, alike))) for one in said]
    t1 = [i for i, one in enumerate(readings) if one.family == "t1"]
    if len(t1) == 1 and not readings[t1[0]].contrast:
        readings[t1[0]] = _only_shared(readings[t1[0]], said[t1[0]])
    return readings


def _own(said: list[str], shared: set[str], alike: bool) -> list[str]:
    """A name's words without those that all names share; of names of one kind only what stands before the sequence's name."""
    first = next((k for k, word in enumerate(said) if is_sequence(word)), len(said))

    def keep(k: int, word: str) -> bool:
        if word not in shared or is_sequence(word):
            return True
        return k > first and (alike or text.agent(word))

    return [word for k, word in enumerate(said) if keep(k, word)]


def _only_shared(reading: Reading, said: list[str]) -> Reading:
    """The only T1 of a case says something about contrast agent by a word that all names share: a session, or contrast agent?"""
    whole = read_words(tuple(said))
    if whole.family != "t1" or not whole.contrast:
        return reading
    return replace(reading, contrast=UNCLEAR, why="only words that all names of the case share say something of contrast agent")


def _or_folder(reading: Reading, file: Path, files: list[Path]) -> Reading:
    """The folder's name speaks for a file whose own name says nothing, where each lies in a folder of its own."""
    if reading.family or reading.families or len({one.parent for one in files}) < 2:
        return reading
    return read(file.parent.name)
