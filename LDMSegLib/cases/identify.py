"""Which image is which sequence, when names alone don't tell: names, then DICOM attributes, then the images themselves.

A choice carries its reason and how far it can be trusted. Where the evidence leaves two possibilities there is no choice but a
question: swapping the T1 images before and after contrast agent makes a plausible and wrong result, so nothing is guessed
silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from LDMSegLib.cases import contrast, contrast_table
from LDMSegLib.cases.candidates import (
    CERTAIN,
    GUESS,
    LIKELY,
    Candidate,
    Choice,
    Identification,
    candidates_of_files,
    candidates_of_series,
)
from LDMSegLib.cases.evidence import OTHER, contrast_in_words, contrast_unspoken, from_timing, from_words
from LDMSegLib.cases.t1_pair import contradictory, features_of, minutes_between, split_t1, tell_pair
from LDMSegLib.specification import Sequence

__all__ = ["CERTAIN", "GUESS", "LIKELY", "Candidate", "Choice", "Identification", "candidates_of_files", "candidates_of_series", "identify"]

# Chosen on 27 real cases, leave one out: see Testing/benchmarks/identification.py for what it lets through.
LEAST_PROBABILITY = 0.9
# How much finer the finest of several images of one sequence must be to be taken for that.
LEAST_FINER = 0.05

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
            self._sort(candidate)

    def result(self) -> Identification:
        self._settle_t1()
        self._look_at_images()
        choices = {}
        for name in self.said:
            self.questions.pop(name, None)
        for name, fits in self.found.items():
            best = self._finest(name, fits)
            if best is not None and name not in self.questions:
                choices[name] = best
        for sequence in self.sequences:
            name = sequence.name
            if (sequence.required or self.undecided) and name not in choices and name not in self.questions:
                self.questions[name] = (
                    f"nothing among {_listed([*self.undecided, *self.t1]) or 'the images'} was recognised as {sequence.title} ({name}); "
                    f"name it with --{name}"
                )
        return Identification(choices, tuple(dict.fromkeys(self.questions.values())), tuple(self.left_out))

    def _sort(self, candidate: Candidate) -> None:
        """Names, descriptions and timing."""
        told, text = from_words(candidate.words, self.sequences)
        timed, reason = from_timing(candidate.acquisition)
        for other, why in ((told, f'"{text}" names another kind of image'), (timed, reason)):
            if other == OTHER:
                self.left_out.append((candidate.name, why))
                return
        family = _FAMILY.get(told, told)
        if told and timed and family != timed:
            self.left_out.append((candidate.name, f'"{text}" says {told}, but {reason}'))
            title = next(s.title for s in self.sequences if s.name == told)
            self.questions.setdefault(
                told, f'{candidate.name} is called {title} ("{text}"), but {reason}, so it cannot be told; name the image with --{told}'
            )
            return
        if (family or timed) == "t1" and {"t1n", "t1c"} <= set(self.names):
            self._sort_t1(candidate, text, reason)
        elif told:
            self._add(told, candidate, CERTAIN, f'"{text}" says so' + (f" and {reason}" if reason else ""))
        elif timed in self.names:
            self._add(timed, candidate, LIKELY, reason)
        else:
            self.undecided.append(candidate)

    def _sort_t1(self, candidate: Candidate, text: str, reason: str) -> None:
        """A T1 image: before or after contrast agent?"""
        worded, tagged = contrast_in_words(candidate.words), candidate.acquisition.contrast
        if worded is None and contrast_unspoken(candidate.words) and from_words(candidate.words, self.sequences)[0] == "t1c":
            worded = True  # an alias says it in a word of its own, as in "ct1"
        if worded is not None and tagged is not None and worded != tagged:
            self.t1.append(candidate)  # its words and its header contradict each other: neither counts
        elif worded or tagged:
            self._add("t1c", candidate, CERTAIN, f'"{text}" says so' if worded else f"its header names {candidate.acquisition.agent}")
        elif worded is False or tagged is False:
            self._add("t1n", candidate, CERTAIN, f'"{text}" says so' if worded is False else "its header says without contrast agent")
        else:
            self.t1.append(candidate)

    def _settle_t1(self) -> None:
        """T1 images that don't say whether before or after contrast agent: from the others, the clock, then the images."""
        after, open_, self.t1 = [c.candidate for c in self.found.get("t1c", [])], self.t1, []
        if after:
            for one in open_:
                later = [minutes_between(other, one) for other in after if minutes_between(other, one) is not None]
                if later and min(later) >= 0:
                    self._add("t1c", one, LIKELY, "it is a T1 image acquired after one with contrast agent")
                elif contradictory(one):
                    self.left_out.append((one.name, "its description and its header contradict each other about contrast agent"))
                else:
                    self._add("t1n", one, LIKELY, "it is a T1 image that names no contrast agent, and another one does")
            return
        if len(open_) == 2 and not self.found["t1n"]:
            self._settle_pair(*open_)
        elif len(open_) == 1 and len(self.found["t1n"]) == 1:
            self._settle_pair(self.found["t1n"][0].candidate, open_[0], first_known=True)
        elif open_:
            self._ask_t1(open_, "nothing says which were acquired before and which after contrast agent")

    def _settle_pair(self, first: Candidate, second: Candidate, first_known: bool = False) -> None:
        told = tell_pair(first, second)
        if not told.after or (first_known and told.after < 0):
            why = told.why or "the image that is known as T1 before contrast agent looks like the later one, so nothing tells"
            if "t1n" not in self.said:
                self.found["t1n"] = []
            self._ask_t1([first, second], f"{why} which was acquired after contrast agent")
            return
        native, after = (first, second) if told.after > 0 else (second, first)
        for one, name, reason in ((native, "t1n", told.native_reason), (after, "t1c", told.after_reason)):
            if not (first_known and one is first):
                self._add(name, one, told.certainty, f"of the two T1 images {reason}")

    def _ask_t1(self, images: list[Candidate], why: str) -> None:
        sentence = (
            f"{_listed(images)} {'is a T1 image' if len(images) == 1 else 'are T1 images'}, but {why}; name them with --t1n and --t1c"
        )
        self.questions["t1n"] = self.questions["t1c"] = sentence

    def _look_at_images(self) -> None:
        """The last resort, for images of which nothing is known at all."""
        known = set(contrast_table.MEANS)
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
        way, probability = contrast.assign(features, wanted)
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

    def _finest(self, name: str, fits: list[Choice]) -> Choice | None:
        """Of several images of one sequence the one with the thinnest slices; a question where that doesn't decide."""
        if len(fits) < 2:
            return fits[0] if fits else None
        original = [c for c in fits if "DERIVED" not in c.candidate.acquisition.image_type] or fits
        order = (CERTAIN, LIKELY, GUESS)
        best = min(order.index(c.certainty) for c in original)
        sized = sorted((_coarsest_mm(c.candidate), i, c) for i, c in enumerate(original) if order.index(c.certainty) == best)
        if len(sized) > 1 and sized[1][0] - sized[0][0] < LEAST_FINER * sized[0][0]:
            self.questions[name] = (
                f"{_listed([c for _, _, c in sized], 'candidate')} could all be {name} and are equally fine, expected one; "
                f"name it with --{name} or leave the others out"
            )
            return None
        chosen = sized[0][2]
        self.left_out += [(c.candidate.name, f"{chosen.candidate.name} is a finer {name}") for c in fits if c is not chosen]
        return Choice(name, chosen.candidate, chosen.certainty, f"{chosen.reason}, and of {len(fits)} such images it is the finest")


def _coarsest_mm(candidate: Candidate) -> float:
    grid = getattr(candidate.source, "grid", None)
    affine = candidate.read().affine if grid is None else grid.affine
    return float(np.linalg.norm(affine[:3, :3], axis=0).max())


def _listed(items: list, attribute: str = "") -> str:
    names = [(getattr(item, attribute) if attribute else item).name for item in items]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
