"""Results against references, all of a folder or one in memory: every row, what failed, and what has no counterpart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.evaluation import summary_rows
from LDMSegLib.evaluation.labelling import OWN, Labelling, decide, labellings, present, stated
from LDMSegLib.evaluation.lesionwise import BRATS_2023_GLIOMA, Rules
from LDMSegLib.evaluation.matching import (
    decide_labellings,
    evaluate_pair,
    evaluate_volumes,
    find_predictions,
    find_references,
    made_with,
    match,
)
from LDMSegLib.events import Reporter, Silent
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Specification


@dataclass(frozen=True)
class Evaluation:
    """How well results agree with references.

    Attributes:
        rows: One per case, region and filter, with the measures, numbers of lesions and volumes in mL.
        summary: One per region and filter: mean, SD, median and quartiles of each measure over the cases.
        references: How the references' integers were read.
        predictions: How those of the predictions were, each once.
        failures: Case → why it could not be scored.
        without_reference, without_prediction: Cases that only one side has.
    """

    rows: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    references: Labelling
    predictions: tuple[Labelling, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    without_reference: tuple[str, ...] = ()
    without_prediction: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every case was scored that either side has."""
        return not (self.failures or self.without_reference or self.without_prediction)


def evaluate_paths(
    prediction: Path,
    reference: Path,
    specification: Specification | None = None,
    *,
    labels: str | None = None,
    prediction_labels: str | None = None,
    smallest_mm3: float = 0.0,
    rules: Rules = BRATS_2023_GLIOMA,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Score every result that has a reference; the failure of one does not stop the rest.

    Args:
        prediction: see `find_predictions`.
        reference: see `find_references`.
        specification: whose labels and regions are meant; without, those of the bundle that made the first result, else the embedded one's.
        labels: what the references' integers mean, see `labelling.stated`; without, they decide together.
        prediction_labels: the same for label maps of other programs; `labels` without.
        smallest_mm3: above 0, score also without predicted components smaller than this.
        rules: the challenge's.
        reporter: hears the stage "evaluate", how far it is, and every warning.

    Raises:
        InputError: nothing belongs together, what the integers mean cannot be told, or the only result cannot be scored.
    """
    reporter = reporter or Silent()
    predictions, single = find_predictions(prediction)
    specification = specification or find_bundle(made_with(predictions.values())).specification
    meant = stated(labels, specification) if labels else None
    own = stated(prediction_labels, specification) if prediction_labels else meant
    matched = match(predictions, find_references(reference), single)
    cases = len(matched.pairs)
    reporter.stage("evaluate", f"Comparing {cases} case{'s' if cases > 1 else ''}")
    references, of = decide_labellings(matched.pairs, specification, meant, own)
    if meant is None and references.name != OWN:
        reporter.warning(
            f"the references are read as {references} as no value contradicts it; where they mean something else, add --labels"
        )
    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for number, pair in enumerate(matched.pairs, start=1):
        try:
            rows += evaluate_pair(pair, specification, rules, smallest_mm3, (references, of[pair.prediction]))
        except InputError as error:
            if single:
                raise
            failures[pair.case] = str(error)
            reporter.warning(f"{pair.case} failed: {error}", case=pair.case)
        reporter.progress(number / cases, case=number, cases=cases)
    for case in matched.without_reference:
        reporter.warning(f"{case} has no reference below {reference}", case=case)
    for case in matched.without_prediction:
        reporter.warning(f"{case} has a reference but no result in {prediction}", case=case)
    read = {str(one): one for one in of.values()}
    return Evaluation(
        rows,
        summary_rows(rows),
        references,
        tuple(read[name] for name in sorted(read)),
        failures,
        matched.without_reference,
        matched.without_prediction,
    )


def evaluate_map(
    case: str,
    prediction: Volume,
    reference: Volume,
    specification: Specification,
    *,
    labels: str | None = None,
    smallest_mm3: float = 0.0,
    rules: Rules = BRATS_2023_GLIOMA,
) -> Evaluation:
    """Score one label map in memory, in the bundle's own integers.

    Args:
        case: its name.
        prediction, reference: uint8 (X, Y, Z), on one grid up to the order of axes.
        specification: the bundle's.
        labels, smallest_mm3, rules: see `evaluate_paths`.

    Raises:
        InputError: the two lie on different grids, or an integer of the reference has no meaning.
    """
    own = labellings(specification)[OWN]
    if labels:
        meant = stated(labels, specification)
    else:
        meant = decide([(reference.path or Path("the reference"), present(reference.array))], specification, "references")
    rows = evaluate_volumes(case, prediction, reference, specification, (meant, own), rules, smallest_mm3)
    return Evaluation(rows, summary_rows(rows), meant, (own,))
