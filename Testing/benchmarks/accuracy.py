"""How good the segmentation is on cases that no training phase saw, beside a SegResNet trained on the same data.

    python -m Testing.benchmarks.accuracy [--bundle B] [--mode M] [--cases ID ...] [--members N] [--steps S] [--csv FILE]

The SegResNet is the conditioning network's own supervised head: MONAI's SegResNet, trained on the same data and grid, brought
back to the case's voxels in the same way. All are scored with and without the same filter for small components. Where the
mode looks at the MRI in several views, the SegResNet is also averaged over the same views. The uncertainties compared with are its
sigmoid's entropy and its variance over eight mirrored inputs. Intervals are bootstrapped over the cases: with four of them
they are little more than the range.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from LDMSegLib.evaluation.bootstrap import bootstrap_interval
from LDMSegLib.evaluation.calibration import brier, error_detection, expected_calibration_error, filtered_dice, surroundings
from LDMSegLib.evaluation.evaluation import case_rows
from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.postprocessing.regions import label_map, region_masks
from LDMSegLib.postprocessing.volumes import RegionVolume, voxel_ml
from Testing.benchmarks.common import heading, labelled_cases, load_model, parser, write_csv
from Testing.benchmarks.process import table
from Testing.benchmarks.real_data import validation_folders
from Testing.benchmarks.segresnet_head import head_predictions, load_head

FILTER_MM3 = 50.0
BAND_MM = 10.0
SHOWN = ("dice", "lesionwise_dice", "lesionwise_hd95_mm")


def main() -> None:
    arguments = parser(__doc__, "mode", "members", "steps", "seed", "cases", "csv").parse_args()
    model = load_model(arguments)
    spec, head = model.specification, load_head(model)
    rows, by_view, volumes, uncertainties = [], [], [], defaultdict(list)
    for case, reference in labelled_cases(validation_folders(tuple(arguments.cases)), spec):
        ours = segment(case, model, Settings(arguments.seed))
        true_ml = reference.sum(axis=(1, 2, 3)) * voxel_ml(case.grid.affine)
        volumes += [(case.id, float(truth_ml), found) for truth_ml, found in zip(true_ml, ours.volumes, strict=True)]
        probabilities, averaged, spread, alone = head_predictions(head, case, model)
        methods = {"LDMSeg": ours.masks()} | {
            name: region_masks(label_map(p, spec.labels, spec.regions, 0.5), spec.labels, spec.regions)
            for name, p in (("SegResNet", probabilities), ("SegResNet, same views", averaged))
        }
        found = [region_masks(label_map(p, spec.labels, spec.regions, 0.5), spec.labels, spec.regions) for p in alone]
        by_view.append([[dice(r, m) for r, m in zip(reference, masks, strict=True)] for masks in found])
        for method, masks in methods.items():
            scored = case_rows(case.id, reference, masks, spec.region_names, case.grid.spacing, smallest_mm3=FILTER_MM3)
            rows += [{"method": method, **row} for row in scored]
        band = surroundings([reference[-1], ours.masks()[-1]], case.grid.spacing, BAND_MM) & case.foreground()
        last = ours.probabilities[-1], ours.variance[-1]
        for name, p, u in (
            ("LDMSeg, variance of the members", last[0], last[1]),
            ("LDMSeg, p (1 - p)", last[0], last[0] * (1 - last[0])),
            ("SegResNet, entropy", probabilities[-1], _entropy(probabilities[-1])),
            ("SegResNet, same views, entropy", averaged[-1], _entropy(averaged[-1])),
            ("SegResNet, variance over mirrorings", probabilities[-1], spread[-1]),
        ):
            found = error_detection(p, u, reference[-1], band)
            scaled = 100 * u / max(float(u[band].max(initial=0)), 1e-9)
            filtered = filtered_dice((p >= 0.5) & band, scaled, reference[-1] & band, band)
            curve = filtered.dice
            fall = max(0.0, float(np.diff(curve).max()))  # with each step down in threshold more is removed, and Dice should rise
            removed = curve[-1], curve[len(curve) // 4], fall
            calibrated = expected_calibration_error(p, reference[-1], band), brier(p, reference[-1], band)
            uncertainties[name].append((found.auroc, found.aupr, found.error_rate, *removed, filtered.score, *calibrated))
    print(heading(model, arguments.seed))
    print(_accuracy(rows, spec.region_names))
    print(_intervals(rows, spec.region_names))
    print(_cases(rows, spec.region_names))
    print(_views(np.mean(by_view, axis=0), spec.region_names))
    print(_uncertainty(uncertainties, spec.region_names[-1]))
    print(_volumes(volumes))
    write_csv(arguments, rows)


def _entropy(p: np.ndarray) -> np.ndarray:
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return -(q * np.log(q) + (1 - q) * np.log(1 - q)) / np.log(2)


def _accuracy(rows: list[dict], regions: tuple[str, ...]) -> str:
    body = []
    for method in _methods(rows):
        for smallest in (0.0, FILTER_MM3):
            mine = [r for r in rows if r["method"] == method and r["filter_mm3"] == smallest]
            cells = [f"{np.mean([r[measure] for r in mine if r['region'] == region]):.3f}" for measure in SHOWN for region in regions]
            false = np.mean([r["false_positives"] for r in mine if r["region"] == regions[-1]])
            body.append((method, f"{smallest:.0f}", *cells, f"{false:.2f}"))
    head = (
        "method",
        "filter mm³",
        *(f"{measure} {region}" for measure in SHOWN for region in regions),
        f"false {regions[-1]} lesions a case",
    )
    return table(f"Accuracy, mean over {len({r['case'] for r in rows})} cases, at their own voxels", head, body)


def _cases(rows: list[dict], regions: tuple[str, ...]) -> str:
    body = []
    for case in dict.fromkeys(r["case"] for r in rows):
        cells = []
        for method in _methods(rows):
            for region in regions:
                row = next(r for r in rows if (r["case"], r["method"], r["region"], r["filter_mm3"]) == (case, method, region, 0.0))
                cells.append(f"{row['dice']:.3f}")
        body.append((case, *cells))
    return table("Dice, case by case", ("case", *(f"{m} {r}" for m in _methods(rows) for r in regions)), body)


def _intervals(rows: list[dict], regions: tuple[str, ...]) -> str:
    body = []
    for method in _methods(rows):
        cells = []
        for measure in SHOWN[:2]:
            for region in regions:
                values = [r[measure] for r in rows if (r["method"], r["region"], r["filter_mm3"]) == (method, region, FILTER_MM3)]
                found = bootstrap_interval(np.mean, np.array(values))
                cells.append(f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})")
        body.append((method, *cells))
    head = ("method", *(f"{measure} {region}" for measure in SHOWN[:2] for region in regions))
    return table(f"The same with the filter of {FILTER_MM3:.0f} mm³, and 95 % intervals over the cases", head, body)


def _views(scores: np.ndarray, regions: tuple[str, ...]) -> str:
    body = [(f"{k + 1}", *(f"{score:.3f}" for score in view)) for k, view in enumerate(scores)]
    body.append(("mean", *(f"{score:.3f}" for score in scores.mean(axis=0))))
    return table("The SegResNet in each of the views alone, Dice, mean over the cases", ("view", *regions), body)


def _methods(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _uncertainty(uncertainties: dict[str, list[tuple]], region: str) -> str:
    body = [(name, *(f"{v:.3f}" for v in np.nanmean(np.array(values), axis=0))) for name, values in uncertainties.items()]
    head = (
        "uncertainty",
        "AUROC",
        "AUPR",
        "AUPR by chance",
        "Dice, nothing removed",
        "Dice, above ¼ of the largest removed",
        "largest fall on the way",
        "QU-BraTS score",
        "ECE",
        "Brier",
    )
    return table(f"Does uncertainty find errors? {region}, within {BAND_MM:.0f} mm of the tumour, mean over cases", head, body)


def _volumes(volumes: list[tuple[str, float, RegionVolume]]) -> str:
    body, held, away = [], 0, []
    for case, truth_ml, found in volumes:
        inside = found.spread_low <= truth_ml <= found.spread_high
        held += inside
        away.append((truth_ml - found.mean) / found.sd if found.sd > 0 else float("nan"))
        spread = f"{found.spread_low:.1f} to {found.spread_high:.1f}"
        body.append((case, found.region, f"{truth_ml:.1f}", f"{found.ensemble:.1f}", spread, "yes" if inside else "no", f"{away[-1]:+.1f}"))
    square = np.sqrt(np.nanmean(np.square(away)))
    body.append(("all", "", "", "", "", f"{held} of {len(volumes)}", f"{square:.1f} (root mean square)"))
    head = ("case", "region", "truth mL", "result mL", "spread mL", "truth inside", "SDs from the members' mean")
    return table("Does the spread of the members' volumes hold the true volume?", head, body)


if __name__ == "__main__":
    main()
