"""Whether images and result look like those that the model has learnt from. Where they don't, a sentence says so.

What is measured, all on the model's grid, each under a name that the bundle's metadata gives a usual range for. Without a
range nothing is checked: what is usual for gliomas is known to the bundle, not to this file.

    spread/<sequence>                 SD of the prepared values in the brain; noise is averaged away and has little
    skewness/<sequence>               of the same values; changes sign with an inverted image
    correlation/<a>/<b>               of two sequences' values (Pearson)
    asymmetry/<a>/<b>                 skewness of a less that of b
    difference/<a>/<b>                skewness of a less b, both by their quartiles: what lights up in one of them alone
    contrast/<region>/<a>/<b>         mean of a less mean of b inside the region that was found
    volume/<region>                   mL; 0 where nothing was found
    parts/<region>                    how many parts of `PART_ML` and more it lies in, touching corners counted as one
    shell/<region>                    how the members disagree, as the thickness in mm of a shell around a ball of the
                                      region's size: sum of 4 p (1 - p) over (36 pi)^(1/3) (sum of p)^(2/3)
    reconstruction/<region>           Dice of the region with what the autoencoder makes of it
    inside/<region>                   share of a label map without image in the average brain of its space; synthetic masks with
                                      less are not kept

Two images that were given for each other can be told from other oddities: with the two exchanged, the measures are known
without measuring anew, and they would be usual. Ranges are wide, so what is compared is how far all of them together lie from
the middle of their ranges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy import ndimage

from LDMSegLib.specification import Range, Region

Measures = dict[str, float]

LEAST_VOXELS = 12
"""Contrast and reconstruction are measured of regions of at least this size: the autoencoder loses very small components of any origin."""

PART_ML = 0.5
"""Smaller parts are not counted: every label map has isolated voxels."""

# Places in the ranges: 0 is the middle, ±1 the ends. The exchange of two sequences must bring the sum of their squares down by
# this much and leave nothing farther out than that. Measured on the 20 training cases that have all sequences, each left out of
# the ranges in turn, and with their true regions: T1 and T1 post-contrast exchanged were told in 18, T2 and FLAIR in 20, in none
# where all was right (the next false alarm comes at a gain between 0.5 and 0.75).
GAIN, FARTHEST = 0.75, 1.25

_IMAGES = ("spread", "skewness", "correlation")
_ORDER = ("asymmetry", "difference", "contrast")  # change their sign when the two sequences are exchanged


def image_measures(mri: np.ndarray, sequences: Sequence[str], background: float) -> Measures:
    """Spread, skewness, correlation, asymmetry and difference.

    Args:
        mri: (S, X, Y, Z), prepared for the networks.
        sequences: the S names. Leave out those that are missing.
        background: value outside the brain.
    """
    inside = (mri != background).any(axis=0)
    values = mri[:, inside].astype(np.float64)
    if values.shape[1] < 2:
        return {}
    spread = values.std(axis=1)
    z = (values - values.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-9)[:, None]
    skewness, correlation = (z**3).mean(axis=1), z @ z.T / z.shape[1]
    low, middle, high = np.percentile(values, (25, 50, 75), axis=1)
    # By quartiles, because a tumour that lights up would widen the spread by which it is measured.
    q = (values - middle[:, None]) / np.maximum(high - low, 1e-9)[:, None]
    out: Measures = {}
    for i, name in enumerate(sequences):
        out |= {f"spread/{name}": float(spread[i]), f"skewness/{name}": float(skewness[i])}
    for i, j in combinations(range(len(sequences)), 2):
        pair = f"{sequences[i]}/{sequences[j]}"
        out |= {f"correlation/{pair}": float(correlation[i, j]), f"asymmetry/{pair}": float(skewness[i] - skewness[j])}
        out[f"difference/{pair}"] = _skewness_without_outliers(q[i] - q[j])
    return out


def _skewness_without_outliers(x: np.ndarray) -> float:
    """Skewness of (N,) values, the outermost one in ten thousand on each side drawn in."""
    x = np.clip(x, *np.percentile(x, (0.01, 99.99)))
    return float(((x - x.mean()) ** 3).mean() / max(float(x.std()), 1e-9) ** 3)


def contrast_measures(mri: np.ndarray, masks: np.ndarray, sequences: Sequence[str], regions: tuple[Region, ...]) -> Measures:
    """Contrast of every pair of sequences in every region of some size; masks (R, X, Y, Z) bool, others as `image_measures`."""
    out: Measures = {}
    for region, mask in zip(regions, masks, strict=True):
        if np.count_nonzero(mask) < LEAST_VOXELS:
            continue
        means = mri[:, mask].mean(axis=1, dtype=np.float64)
        for i, j in combinations(range(len(sequences)), 2):
            out[f"contrast/{region.name}/{sequences[i]}/{sequences[j]}"] = float(means[i] - means[j])
    return out


def result_measures(probabilities: np.ndarray, masks: np.ndarray, regions: tuple[Region, ...], voxel_mm3: float) -> Measures:
    """Volume, parts and shell of every region; the last two only where something was found.

    Args:
        probabilities: (R, X, Y, Z), the mean over the members.
        masks: (R, X, Y, Z) bool, what was found.
        regions: The R regions, in channel order.
        voxel_mm3: volume of a voxel.
    """
    out: Measures = {}
    for region, p, mask in zip(regions, probabilities, masks, strict=True):
        found = np.count_nonzero(mask)
        out[f"volume/{region.name}"] = float(found * voxel_mm3 / 1000.0)
        if found:
            parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
            out[f"parts/{region.name}"] = float(np.count_nonzero(np.bincount(parts[mask]) * voxel_mm3 >= 1000.0 * PART_ML))
            p = p[p > 0].astype(np.float64)
            doubt, size = 4.0 * (p * (1.0 - p)).sum() * voxel_mm3, p.sum() * voxel_mm3
            out[f"shell/{region.name}"] = float(doubt / ((36.0 * np.pi) ** (1 / 3) * size ** (2 / 3)))
    return out


def reconstruction_measures(masks: np.ndarray, again: np.ndarray, regions: tuple[Region, ...]) -> Measures:
    """Dice of every region of some size with its reconstruction; both (R, X, Y, Z) bool."""
    out: Measures = {}
    for region, mask, other in zip(regions, masks, again, strict=True):
        size = np.count_nonzero(mask)
        if size >= LEAST_VOXELS:
            out[f"reconstruction/{region.name}"] = 2.0 * np.count_nonzero(mask & other) / (size + np.count_nonzero(other))
    return out


def implausible(measures: Mapping[str, float], usual: Mapping[str, Range], regions: tuple[Region, ...]) -> list[str]:
    """Say what is out of the ordinary.

    At most one sentence each about swapped images or the images or a region's contents, volume, parts, doubt and form.

    Args:
        measures: of one case, some or all of those above.
        usual: ranges of the same measures; what has none is not looked at.
        regions: for their titles.

    Returns:
        Sentences that say what was found, what is usual and what to do.
    """
    titles = {region.name: region.title for region in regions}
    unusual = _unusual(measures, usual)
    images = {key: excess for key, excess in unusual.items() if _kind(key) in _IMAGES}
    swapped = _swapped(measures, usual)
    said = []
    if swapped:
        (a, b), key = swapped
        said.append(
            f"{a} and {b} seem to be swapped: {_found(key, measures, usual, titles)}, and with the two exchanged they would look far more "
            "usual; check which file is which"
        )
    elif images:
        name = _blamed(images)
        key = max((key for key in images if name in key.split("/")), key=images.__getitem__)
        said.append(
            f"{name} does not look like the images that this model has learnt from: {_found(key, measures, usual, titles)}; check that "
            "it is that sequence, skull-stripped, and neither inverted, very noisy nor processed otherwise"
        )
    # What is wrong with an image is wrong inside the tumour too.
    about = {} if said else {"contrast": _about_contents}
    about |= {"volume": _about_volume, "parts": _about_parts, "shell": _about_doubt, "reconstruction": _about_form}
    for kind, sentence in about.items():
        keys = [key for key in unusual if _kind(key) == kind]
        if keys:
            said.append(sentence(max(keys, key=unusual.__getitem__), measures, usual, titles))
    return said


def _about_volume(key: str, measures: Mapping[str, float], usual: Mapping[str, Range], titles: Mapping[str, str]) -> str:
    if measures[key] == 0.0:
        return (
            f"{titles[key.split('/')[1]]}: nothing was found, where {_number(usual[key].low, 2)} mL and more are usual; check the images "
            "and the probability map, and do not take this for a proof that there is none"
        )
    return f"{_found(key, measures, usual, titles)}; compare the result with the images before using it"


def _about_contents(key: str, measures: Mapping[str, float], usual: Mapping[str, Range], titles: Mapping[str, str]) -> str:
    title = titles[key.split("/")[1]]
    return (
        f"what was called {title} is unlike those that this model has learnt from: {_found(key, measures, usual, titles)}; it may be "
        "fluid, blood or another disease: compare the result with the images before using it"
    )


def _about_parts(key: str, measures: Mapping[str, float], usual: Mapping[str, Range], titles: Mapping[str, str]) -> str:
    return (
        f"there are unusually many lesions: {_found(key, measures, usual, titles)}; it may be another disease, and "
        "small ones are easily missed: compare the result with the images before using it"
    )


def _about_doubt(key: str, measures: Mapping[str, float], usual: Mapping[str, Range], titles: Mapping[str, str]) -> str:
    return f"the members disagree unusually: {_found(key, measures, usual, titles)}; look at the variance map and the uncertain regions"


def _about_form(key: str, measures: Mapping[str, float], usual: Mapping[str, Range], titles: Mapping[str, str]) -> str:
    return (
        f"the result's form is not like the label maps that this model has learnt from: {_found(key, measures, usual, titles)}; compare it "
        "with the images before using it"
    )


_WORDS = {
    "spread": "the spread of {0} is {found}",
    "skewness": "the skewness of {0} is {found}",
    "correlation": "the correlation of {0} and {1} is {found}",
    "asymmetry": "the skewness of {0} less that of {1} is {found}",
    "difference": "the skewness of {0} less {1} is {found}",
    "contrast": "inside {0} {1} less {2} is {found}",
    "volume": "{0} measures {found} mL",
    "parts": "{0} lies in {found} parts",
    "shell": "the doubt about {0} is worth a shell of {found} mm",
    "reconstruction": "{0} and its reconstruction agree with Dice {found}",
}


def _found(key: str, measures: Mapping[str, float], usual: Mapping[str, Range], titles: Mapping[str, str]) -> str:
    kind, *of = key.split("/")
    three = measures[key], usual[key].low, usual[key].high
    found, low, high = (_number(value, 2) for value in three)
    if found in (low, high):  # just outside: so many digits that it shows
        found, low, high = (_number(value, 4) for value in three)
    words = _WORDS[kind].format(*(titles.get(name, name) for name in of), found=found)
    return f"{words} (usual: {low} to {high})"


def _number(value: float, digits: int) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def _swapped(measures: Mapping[str, float], usual: Mapping[str, Range]) -> tuple[tuple[str, str], str] | None:
    """The pair of sequences whose exchange would explain most, and the measure that says so loudest; None without such a pair."""
    of_images = {key: value for key, value in measures.items() if _kind(key) in (*_IMAGES, *_ORDER)}
    here = _places(of_images, usual)
    names = [key.split("/")[1] for key in of_images if _kind(key) == "spread"]
    best, found = GAIN, None
    for pair in combinations(names, 2):
        there = _places(_exchanged(of_images, *pair), usual)
        gain = sum(z**2 for z in here.values()) - sum(z**2 for z in there.values())
        if gain >= best and all(abs(z) <= FARTHEST for z in there.values()):
            best, found = gain, (pair, max(here, key=lambda key: here[key] ** 2 - there[key] ** 2))
    return found


def _exchanged(measures: Mapping[str, float], a: str, b: str) -> Measures:
    """What would have been measured with the files of two sequences exchanged."""
    other = {a: b, b: a}
    out: Measures = {}
    for key, value in measures.items():
        kind, *of = key.split("/")
        fixed, names = (of[:1], of[1:]) if kind == "contrast" else ([], of)
        names = [other.get(name, name) for name in names]
        forwards, backwards = ("/".join([kind, *fixed, *order]) for order in (names, names[::-1]))
        if forwards in measures:
            out[forwards] = value
        else:
            out[backwards] = -value if kind in _ORDER else value
    return out


def _places(measures: Mapping[str, float], usual: Mapping[str, Range]) -> dict[str, float]:
    """Where in its range each measure lies that has one: 0 in the middle, ±1 at the ends."""
    places = {}
    for key in sorted(measures.keys() & usual.keys()):
        low, high = usual[key].low, usual[key].high
        places[key] = (2.0 * measures[key] - low - high) / max(high - low, 1e-9)
    return places


def _unusual(measures: Mapping[str, float], usual: Mapping[str, Range]) -> dict[str, float]:
    """Measures outside their range, and how far."""
    return {key: abs(place) - 1.0 for key, place in _places(measures, usual).items() if abs(place) > 1.0}


def _blamed(images: Mapping[str, float]) -> str:
    """The sequence with most of the unusual measures, and of equals the one that they are farthest out for."""
    count: Counter[str] = Counter()
    excess: dict[str, float] = defaultdict(float)
    for key, beyond in images.items():
        for name in key.split("/")[1:]:
            count[name] += 1
            excess[name] += beyond
    return max(count, key=lambda name: (count[name], excess[name]))


def _kind(key: str) -> str:
    return key.split("/")[0]
