"""Which of the masks that the bundle draws have the shape of real tumours: learnt from drawn and real ones, written into the bundle.

    python -m Training.shape_odds --config Training/configs/small.json --bundle BUNDLE --run runs/small

A logistic regression on the numbers of `synthesis.shapes` tells real label maps from drawn masks; its log odds are what
`LDMSegLib.synthesis.shape_prior` keeps masks by. It sees half of the label maps (`learnt_from`), so that the other half can judge what is
kept (`Testing.benchmarks.synthesis`). The bundle's metadata is rewritten; its weights stay.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.distances import standardise
from LDMSegLib.evaluation.logistic import FREE, fit_logistic
from LDMSegLib.models.bundle import find_bundle, save_specification
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.specification import ShapeOdds, Term
from LDMSegLib.synthesis.acceptance import Mask, SynthesisRequest
from LDMSegLib.synthesis.canvas import Canvas, placed_blank
from LDMSegLib.synthesis.shape_prior import keeping_probability, log_odds, shape_on_model_grid
from LDMSegLib.synthesis.shapes import feature_matrix
from LDMSegLib.synthesis.synthesize import synthesize
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration

Shapes = list[dict[str, float]]


def learnt_from(name: str) -> bool:
    """Whether the label map of that name belongs to the half that the odds are learnt from; the same for everyone, always."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def fit(real: Shapes, drawn: Shapes, ridge: float, always: float) -> ShapeOdds:
    """The odds of a shape among real masks against drawn ones.

    Args:
        real, drawn: statistics of masks, `shape_prior.shape_on_model_grid`.
        ridge: weight of the squared coefficients, per statistic in units of its SD among real masks.
        always: of the drawn masks the share with the highest odds that is always kept. Small: nearer to the real ones, fewer kept.

    Raises:
        InputError: a set has fewer than two masks.
    """
    if min(len(real), len(drawn)) < 2:
        raise InputError(f"{len(real)} real and {len(drawn)} drawn masks found, expected at least 2 of each; prepare label maps, draw more")
    (theirs, names), (ours, _) = feature_matrix(real), feature_matrix(drawn)
    x = np.column_stack([np.concatenate(standardise(theirs, ours)), np.ones(len(real) + len(drawn))])
    penalty = np.append(np.full(x.shape[1] - 1, ridge), FREE)
    weights = fit_logistic(x, np.repeat([1.0, 0.0], [len(real), len(drawn)]), penalty)[:-1]
    # A statistic that does not vary among real masks is not standardised; a share of it would be none of a shape.
    mean, sd = np.nanmean(theirs, axis=0), np.nanstd(theirs, axis=0)
    terms = {name: Term(float(m), float(w / s)) for name, m, s, w in zip(names, mean, sd, weights, strict=True) if s > 1e-9}
    odds = ShapeOdds(terms)
    odds = replace(odds, highest=float(np.quantile([log_odds(shape, odds) for shape in drawn], 1 - always)))
    return replace(odds, kept=float(np.mean([keeping_probability(shape, odds) for shape in drawn])))


def real_shapes(configuration: Configuration, run: Path) -> Shapes:
    """Of the half of the prepared label maps that is learnt from, without those that the split keeps out.

    Raises:
        InputError: no label maps were prepared.
    """
    path = run / "data" / "labelmaps.npz"
    if not path.exists():
        raise InputError(f"'{path}' is not there, expected label maps; run Training.prepare first")
    with np.load(path) as columns:
        pairs = list(zip(columns["name"], columns["regions"], strict=True))
    return [
        shape_on_model_grid(soft > 127, configuration.regions, configuration.grid)
        for name, soft in pairs
        if soft.any() and learnt_from(str(name)) and not configuration.keeps_out(str(name))
    ]


def drawn_shapes(model: Model, count: int, seed: int) -> Shapes:
    """Of masks as the networks draw them, cut at the surface of the brain as a user's would be."""
    spec = model.specification
    space, placed = find_space(spec.grid.space), placed_blank(spec.grid)
    canvas = Canvas(placed, placed.affine, placed.shape, inside=space.inside(placed.affine, placed.shape) if space else None)
    shapes: Shapes = []

    def keep(mask: Mask) -> None:
        shapes.append(shape_on_model_grid(region_masks(mask.labels, spec.labels, spec.regions), spec.regions, spec.grid))
        if mask.number % 20 == 0:
            print(f"{mask.number} of {count} drawn", flush=True)

    synthesize(model, canvas, SynthesisRequest(count, seed, any_shape=True), keep)
    return shapes


def main() -> None:
    """The command line."""
    # The default seed is not one that masks will be drawn with to be judged.
    command = parser(__doc__, "config", "bundle", "run", seed=1000)
    command.add_argument("--draws", type=int, default=350)
    command.add_argument("--ridge", type=float, default=1.0)
    command.add_argument("--always", type=float, default=0.03)
    arguments = command.parse_args()
    with one_sentence():
        configuration, bundle = read_configuration(arguments.config), find_bundle(arguments.bundle)
        spec = bundle.specification
        real = real_shapes(configuration, arguments.run)
        model = Model(bundle, sampling_mode(spec, spec.synthesis_mode, None, None), choose_device())
        drawn = drawn_shapes(model, arguments.draws, arguments.seed)
        odds = fit(real, drawn, arguments.ridge, arguments.always)
        print(f"{len(real)} real masks, {len(drawn)} drawn ones, of which {odds.kept:.0%} are kept")
        for name, term in odds.terms.items():
            print(f"{name:<22}{term.mean:10.3g}{term.weight:10.3g}")
        save_specification(bundle, replace(spec, shape_odds=odds))


if __name__ == "__main__":
    main()
