"""Which image is which sequence, when names alone don't tell: names, then DICOM attributes, then the images themselves.

A choice carries its reason and how far it can be trusted. Where the evidence leaves two possibilities there is no choice but a
question: swapping the T1 images before and after contrast agent makes a plausible and wrong result, so nothing is guessed
silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from LDMSegLib.sequences import appearance, appearance_table
from LDMSegLib.sequences import vocabulary as v
from LDMSegLib.sequences.candidates import (
    CERTAIN,
    GUESS,
    LIKELY,
    Candidate,
    Choice,
    Identification,
    candidates_of_files,
    candidates_of_series,
)
from LDMSegLib.sequences.dicom_rules import OTHER, from_timing
from LDMSegLib.sequences.names import Named, sequences_in
from LDMSegLib.sequences.preference import Image, prefer
from LDMSegLib.sequences.reading import WITH, WITHOUT
from LDMSegLib.sequences.site_rules import NONE
from LDMSegLib.sequences.t1 import T1Image, settle
from LDMSegLib.sequences.t1_pair import features_of, split_t1, t1_image, tell_pair
from LDMSegLib.sequences.text import words
from LDMSegLib.specification import Sequence

__all__ = ["CERTAIN", "GUESS", "LIKELY", "Candidate", "Choice", "Identification", "candidates_of_files", "candidates_of_series", "identify"]

# Chosen on 27 real cases, leave one out: see Testing/benchmarks/identification.py for what it lets through.
LEAST_PROBABILITY = 0.9

_FAMILY_WORDS = {
    "t1n": v.T1 | v.WEAK_T1,
    "t1c": v.T1 | v.WEAK_T1,
    "t2w": v.T2,
    "t2f": v.FLAIR | v.WEAK_FLAIR,
}
_FAMILY = {"t1n": "t1", "t1c": "t1"}


def identify(
    candidates: Iterable[Candidate], sequences: tuple[Sequence, ...], said: Mapping[str, Candidate] | None = None
) -> Identification:
    """Decide which candidate is which sequence.

    Args:
        candidates: any number, in any order; candidates that are none of the sequences are left out.
        sequences: of the bundle's specification.
        said: sequence name → the image that the user says it is; these are no longer among the candidates.

    Returns:
        Choices and questions (see `Identification`). A sequence that is not required and has no candidate is just absent.

    Raises:
        InputError: images had to be looked at and one cannot be read.
    """
    return _Search(tuple(candidates), sequences, said or {}).result()


class _Search:
    """One identification under way: findings move from `undecided` to `found` or `left_out`, or become questions."""

    def __init__(self, candidates: tuple[Candidate, ...], sequences: tuple[Sequence, ...], said: Mapping[str, Candidate]) -> None:
        self.sequences, self.said = sequences, said
        self.names = tuple(s.name for s in sequences)
        self.found: dict[str, list[Choice]] = {
            name: [Choice(name, said[name], CERTAIN, "it was named by the user")] if name in said else [] for name in self.names
        }
        self.left_out: list[tuple[str, str]] = []
        self.questions: dict[str, str] = {}
        self.t1: list[Candidate] = []
        self.undecided: list[Candidate] = []
        for candidate in candidates:
            if candidate.rule is not None:
                self._by_rule(candidate)
            else:
                self._sort(candidate)

    def result(self) -> Identification:
        self._settle_t1()
        self._look_at_images()
        choices = {}
        for name in self.said:
            self.questions.pop(name, None)
        for name, fits in self.found.items():
            best = self._preferred(name, fits)
            if best is not None and name not in self.questions:
                choices[name] = best
        for sequence in self.sequences:
            name = sequence.name
            if (sequence.required or self.undecided) and name not in choices and name not in self.questions:
                self.questions[name] = (
                    f"nothing among {_listed([*self.undecided, *self.t1]) or 'the images'} was recognised as {sequence.title} ({name})"
                    f"{self._nearly(name)}; name it with --{name}"
                )
        self.left_out += [(c.name, "nothing says which sequence it is") for c in self.undecided]
        return Identification(choices, tuple(dict.fromkeys(self.questions.values())), tuple(self.left_out))

    def _nearly(self, name: str) -> str:
        """What was left out although its name holds a word for the sequence that is missed: it may be just that."""
        family = _FAMILY_WORDS.get(name, frozenset())
        near = [f"{one} was left out: {why}" for one, why in self.left_out if family & set(words(one))]
        return f" ({'; '.join(near[:2])}{'; and others' if len(near) > 2 else ''})" if near else ""

    def _by_rule(self, candidate: Candidate) -> None:
        rule = candidate.rule
        if rule.sequence == NONE:
            self.left_out.append((candidate.name, f'the site\'s rule "{rule.line}"'))
        else:
            self._add(rule.sequence, candidate, CERTAIN, f'the site\'s rule "{rule.line}"')

    def _sort(self, candidate: Candidate) -> None:
        """Names, descriptions and timing."""
        told, text = self._told(candidate)
        timed, reason = from_timing(candidate.acquisition)
        if told.other or timed == OTHER:
            self.left_out.append((candidate.name, f'"{text}": {told.other}' if told.other else reason))
            return
        families = {_FAMILY.get(name, name) for name in told.names}
        if timed and families and timed not in families:
            self._contradicted(candidate, told, text, timed, reason)
            return
        family = timed or (next(iter(families)) if len(families) == 1 else None)
        if family == "t1" and {"t1n", "t1c"} <= set(self.names):
            self.t1.append(candidate)
        elif told.names and not told.clear and not timed:
            self._unclear(candidate, told, text)
        elif told.names:
            name = family if family in self.names else told.names[0]
            self._add(name, candidate, CERTAIN, f'"{text}" says so' + (f" and {reason}" if reason else ""))
        elif timed in self.names:
            self._add(timed, candidate, LIKELY, reason)
        else:
            self.undecided.append(candidate)

    def _told(self, candidate: Candidate) -> tuple[Named, str]:
        """What its words say of it; the first text that tells counts."""
        for text in candidate.words:
            told = sequences_in(text, self.sequences)
            if told.names or told.other:
                return told, text
        return Named(), ""

    def _contradicted(self, candidate: Candidate, told: Named, text: str, timed: str, reason: str) -> None:
        self.left_out.append((candidate.name, f'"{text}" says {" or ".join(told.names)}, but {reason}'))
        for name in told.names[:1]:
            title = next(s.title for s in self.sequences if s.name == name)
            self.questions.setdefault(
                name, f'{candidate.name} is called {title} ("{text}"), but {reason}, so it cannot be told; name the image with --{name}'
            )

    def _unclear(self, candidate: Candidate, told: Named, text: str) -> None:
        """Words that fit several sequences, and nothing in the header decides."""
        self.left_out.append((candidate.name, f'"{text}" could be {" or ".join(told.names)}: {told.why}'))
        for name in told.names:
            self.questions.setdefault(
                name,
                f'{candidate.name} could be {" or ".join(told.names)} ("{text}": {told.why}), and its header says nothing that decides; '
                f"name the image with --{name}",
            )

    def _settle_t1(self) -> None:
        """Which of the T1 images are before and which after contrast agent (see `sequences.t1`)."""
        images, self.t1 = self.t1, []
        if not images:
            return
        named = {c.candidate for c in (*self.found["t1n"], *self.found["t1c"])}
        by_user = [(self.said[name], contrast) for name, contrast in (("t1n", WITHOUT), ("t1c", WITH)) if name in self.said]
        every = [*images, *(one for one, _ in by_user)]
        known = [_as_named(t1_image(one), contrast) for one, contrast in by_user]
        settled = settle([*(t1_image(one) for one in images), *known], lambda a, b: tell_pair(every[a], every[b]))
        for candidate, verdict in zip(images, settled.verdicts, strict=False):  # those that the user named come last
            if verdict.sequence:
                self._add(verdict.sequence, candidate, verdict.certainty, verdict.reason)
            else:
                self.left_out.append((candidate.name, verdict.reason))
        asked = [name for name in settled.asked if not any(c.candidate in named for c in self.found[name])]
        if asked:
            about = [every[i] for i in settled.about]
            verb = "is a T1 image" if len(about) == 1 else "are T1 images"
            sentence = f"{_listed(about)} {verb}, but {settled.why}; name them with --t1n and --t1c"
            for name in asked:
                self.questions[name] = sentence

    def _look_at_images(self) -> None:
        """The last resort, for images of which nothing is known at all."""
        known = set(appearance_table.MEANS)
        wanted = [n for n in self.names if n in known and not self.found[n] and n not in self.questions]
        if not wanted or not self.undecided:
            return
        images, self.undecided = self.undecided, []
        features = [features_of(one) for one in images]
        ask = f"{_listed(images)} {'is' if len(images) == 1 else 'are'} not named or described as any sequence, and "
        options = " ".join(f"--{name} FILE" for name in wanted)
        if any(f is None for f in features):
            return self._ask(wanted, f"{ask}images with the skull on don't tell either; name them: {options}")
        if len(images) != len(wanted):
            return self._ask(
                wanted,
                f"{ask}{len(images)} image(s) for {len(wanted)} sequences ({', '.join(wanted)}) cannot be told apart; name them: {options}",
            )
        way, probability = appearance.assign(features, wanted)
        chosen = dict(zip(wanted, way, strict=True))
        pair = {"t1n", "t1c"} <= set(wanted)
        if probability < LEAST_PROBABILITY or (pair and split_t1(features[chosen["t1n"]], features[chosen["t1c"]]) <= 0):
            return self._ask(wanted, f"{ask}their grey values don't tell which is which; name them: {options}")
        for name, index in chosen.items():
            self._add(name, images[index], GUESS, f"its grey values look like it (probability {probability:.0%} for all together)")

    def _ask(self, wanted: list[str], sentence: str) -> None:
        for name in wanted:
            self.questions[name] = sentence

    def _add(self, name: str, candidate: Candidate, certainty: str, reason: str) -> None:
        if name in self.said:
            self.left_out.append((candidate.name, f"{self.said[name].name} was named as {name}"))
            return
        self.found[name].append(Choice(name, candidate, certainty, reason))

    def _preferred(self, name: str, fits: list[Choice]) -> Choice | None:
        """Of several images of one sequence the one that the rules of `sequences.preference` name; a question where they don't."""
        if len(fits) < 2:
            return fits[0] if fits else None
        taken = prefer([_image(choice) for choice in fits])
        if taken.best is None:
            equal = [fits[i] for i in taken.equal]
            self.questions[name] = (
                f"{_listed(equal, 'candidate')} could all be {name} and are equally fine, expected one; "
                f"name it with --{name}, leave the others out or say by --site-rules which is meant"
            )
            return None
        chosen = fits[taken.best]
        self.left_out += [(fits[i].candidate.name, f"another {name}; {why}") for i, why in taken.losers]
        return Choice(name, chosen.candidate, chosen.certainty, f"{chosen.reason}, and of {len(fits)} such images it is {taken.why}")


def _as_named(image: T1Image, contrast: str) -> T1Image:
    """A T1 that the user named: whatever its own words say, and its header where that agrees."""
    return replace(image, contrast=contrast, tag=image.tag if image.tag is (contrast == WITH) else None)


def _image(choice: Choice) -> Image:
    """What the rules of preference look at."""
    candidate = choice.candidate

    def grid() -> tuple:
        found = getattr(candidate.source, "grid", None)
        if found is not None:
            return found.affine, found.shape
        volume = candidate.read()
        return volume.affine, volume.array.shape

    return Image(candidate.name, candidate.words[0] if candidate.words else "", choice.certainty, candidate.acquisition.image_type, grid)


def _listed(items: list, attribute: str = "") -> str:
    names = [(getattr(item, attribute) if attribute else item).name for item in items]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
