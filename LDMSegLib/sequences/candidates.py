"""What may be a sequence, and what was decided about it: the plain values that `identify` takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_series import Series, read_series
from LDMSegLib.io.dicom_slices import Acquisition
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.sequences.identified import CERTAIN, GUESS, LIKELY, Identified, Use
from LDMSegLib.sequences.naming import stem
from LDMSegLib.sequences.site_rules import Rule, SiteRules
from LDMSegLib.spatial.volume import Volume

__all__ = ["CERTAIN", "GUESS", "LIKELY", "Candidate", "Choice", "Identification", "candidates_of_files", "candidates_of_series"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One image that may be a sequence. `name` is for a person, `words` are what names and descriptions say.

    `read` gives the image, and is called only where nothing else tells. `source` is the file or the `Series` it came from.
    `rule` is the site's own rule that fits its words, which comes before all other evidence.
    """

    name: str
    words: tuple[str, ...]
    read: Callable[[], Volume]
    acquisition: Acquisition = Acquisition()
    source: Any = None
    rule: Rule | None = None


@dataclass(frozen=True)
class Choice:
    """One sequence's image, why, and how far to trust it: CERTAIN, LIKELY or GUESS."""

    sequence: str
    candidate: Candidate
    certainty: str
    reason: str


@dataclass(frozen=True)
class Identification:
    """What was found: a choice for every sequence that is clear, a question for every one that isn't.

    `questions` are sentences that end in what the user can do. `left_out` are (candidate's name, why it is none of them).
    """

    choices: Mapping[str, Choice]
    questions: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def guesses(self) -> tuple[str, ...]:
        """One sentence for each choice that is not certain, to be shown to the user."""
        return tuple(
            f"{c.candidate.name} is taken for {c.sequence} ({c.certainty}): {c.reason}; check it"
            for c in self.choices.values()
            if c.certainty != CERTAIN
        )

    def identified(self) -> Identified:
        """What was used and what not, to be told."""
        used = tuple(Use(name, choice.candidate.name, choice.certainty, choice.reason) for name, choice in self.choices.items())
        return Identified(used, self.left_out)

    def settled(self) -> dict[str, Candidate]:
        """Sequence name → candidate.

        Raises:
            InputError: something is still to be asked.
        """
        if self.questions:
            raise InputError(self.questions[0])
        return {name: choice.candidate for name, choice in self.choices.items()}


def candidates_of_files(files: Iterable[str | Path]) -> list[Candidate]:
    """NIfTI files as candidates: their names are all that is known before they are read."""
    paths = [Path(file) for file in files]
    return [Candidate(path.name, (stem(path),), lambda path=path: read_volume(path), source=path) for path in paths]


def candidates_of_series(series: Iterable[Series], rules: SiteRules = SiteRules()) -> list[Candidate]:  # noqa: B008 -- frozen
    """The DICOM series that are volumes, with the site's rules for their words; what has a problem is left to the caller to tell."""
    return [
        Candidate(one.name, words := _words_of(one), lambda one=one: read_series(one), one.acquisition, one, _rule(words, rules))
        for one in series
        if not one.problem
    ]


def _words_of(series: Series) -> tuple[str, ...]:
    """What it is called: its description, as it was completed where a series holds several images, then what its header says."""
    said = series.acquisition.words
    if not said:
        return (series.description,)
    whole = series.description.startswith(" ".join(said[0].split()))
    return (series.description, *said[1:]) if whole and series.description else said


def _rule(words: tuple[str, ...], rules: SiteRules) -> Rule | None:
    return next((rule for text in words if (rule := rules.match(text))), None)
