"""Which file is which sequence, told from file names; and where in a folder the cases are.

A name is cut into tokens at everything that is neither letter nor digit. An alias fits a name when its letters and digits
are exactly those of some neighbouring tokens ("T2_FLAIR" is "t2flair"), or when each of its own tokens is somewhere in the
name ("ce-gd_run-1_T1w" has "ce", "gd" and "t1w"). The alias with the most letters and digits wins, so that more specific
names beat general ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from LDMSegLib.errors import InputError
from LDMSegLib.io.printable import printable
from LDMSegLib.specification import Sequence

ENDINGS = (".nii.gz", ".nii")

# Files that lie beside the images but are masks or results, told by any of these tokens in the name.
NOT_AN_IMAGE = frozenset(
    "seg segmentation segmentations mask masks brainmask label labels labelmap dseg roi truth gt pred preds prediction predictions "
    "prob probs probability probabilities probseg variance uncertainty uncertain".split()
)

# Folders that say nothing about which case they hold.
_PLAIN_FOLDERS = ("anat", "nifti", "nii")
_DEEPEST = 4


def assign(files: Iterable[str | Path], sequences: tuple[Sequence, ...]) -> dict[str, Path]:
    """Decide from the names which file is which sequence.

    Masks and results (see NOT_AN_IMAGE) and files that fit no sequence are passed over. A sequence that is not required may
    be absent, unless a file could be it and something else as well.

    Args:
        files: NIfTI files in any order.
        sequences: of the bundle's specification.

    Returns:
        Sequence name → file, in the order of `sequences`.

    Raises:
        InputError: the same file twice, two candidates for one sequence, or none for a required one or one that an unclear file
            could be.
    """
    seen = [Path(file) for file in files]
    _reject_repeated(seen)
    images = [file for file in seen if not (set(tokens(file)) & NOT_AN_IMAGE)]
    candidates: dict[str, list[Path]] = {sequence.name: [] for sequence in sequences}
    unclear, perhaps = [], set()
    for file in images:
        fits = sequences_of(file, sequences)
        if len(fits) == 1:
            candidates[fits[0]].append(file)
        elif fits:
            unclear.append(f"{file.name} could be {' or '.join(fits)}")
            perhaps.update(fits)
    for sequence in sequences:
        found = candidates[sequence.name]
        if len(found) > 1:
            names = " and ".join(sorted((str(file) for file in found), key=natural)[:4]) + (" and others" if len(found) > 4 else "")
            raise InputError(
                f"{len(found)} files could be {sequence.title} ({sequence.name}): {names}, expected one; remove or rename the others, "
                f"or name the file with --{sequence.name}"
            )
    absent = [sequence for sequence in sequences if not candidates[sequence.name] and (sequence.required or sequence.name in perhaps)]
    if absent:
        what = " and ".join(f"{sequence.title} ({sequence.name})" for sequence in absent)
        options = " ".join(f"--{sequence.name} FILE" for sequence in absent)
        expected = ", ".join(sequence.name for sequence in sequences if sequence.required or sequence in absent)
        raise InputError(
            f"no file for {what} among {len(images)} image(s) ({_listed(images)}){'; ' if unclear else ''}{', '.join(unclear)}, expected "
            f"one file for each of {expected}; rename the files or give them by {options}"
        )
    return {name: found[0] for name, found in candidates.items() if found}


def sequences_of(file: str | Path, sequences: tuple[Sequence, ...]) -> list[str]:
    """The sequences whose best alias fits the name best: one if it is clear, none if nothing fits, several if it is a tie."""
    words = tokens(file)
    lengths = {s.name: max(_fit(alias, words) for alias in (s.name, *s.aliases)) for s in sequences}
    best = max(lengths.values(), default=0)
    return [name for name, length in lengths.items() if best and length == best]


def find_case(folder: str | Path, sequences: tuple[Sequence, ...]) -> dict[str, Path]:
    """The sequences of the one case in a folder: its own NIfTI files, or where it has none, those one folder down.

    Raises:
        InputError: not a folder, unreadable, no NIfTI file in it, or anything `assign` objects to.
    """
    folder = _folder(folder)
    files = _images_in(folder)
    if not files:
        below = [_images_in(inner) for inner in _folders_in(folder)]
        if sum(len(images) > 1 for images in below) > 1:
            raise InputError(
                f"the folder {folder} holds several cases, each in its own folder, expected the images of one case; give one of these "
                "folders, or all of them with --cohort"
            )
        files = [file for images in below for file in images]
    if not files:
        raise InputError(
            f"the folder {folder} holds no NIfTI file, expected one for each sequence; check the path or convert the images first"
        )
    return assign(files, sequences)


def find_cohort(
    folder: str | Path, sequences: tuple[Sequence, ...], is_study: Callable[[Path], bool] | None = None
) -> list[tuple[str, Path]]:
    """The cases below a folder: every folder that itself holds at least one image, masks and results apart, and every study.

    A case whose files are incomplete is listed all the same, so that it can be reported and not be lost silently.

    Args:
        folder: of the cohort, one folder (of any depth up to four) for each case.
        sequences: of the bundle's specification.
        is_study: whether a folder, or one below it, holds images of another format. Asked of the folders directly below
            `folder` in which there is no NIfTI image: each is one patient's.

    Returns:
        (case id, folder) in natural order (case 2 before case 10); the id is the path below `folder`, joined by "_".

    Raises:
        InputError: not a folder, or no case in it.
    """
    folder = _folder(folder)
    if any(sequences_of(file, sequences) for file in _images_in(folder)):
        raise InputError(
            f"the folder {folder} holds images itself, expected one folder for each case; move each case into its own folder, "
            "or segment it as a single case"
        )
    cases = []
    for inner in _folders_in(folder):
        found = [inner] if _images_in(inner) else _case_folders(inner, _DEEPEST - 1)
        if not found and is_study is not None and is_study(inner):
            found = [inner]
        cases += [(_case_id(case, folder), case) for case in found]
    if not cases:
        what = "NIfTI images were" if is_study is None else "NIfTI images and no DICOM study were"
        raise InputError(f"no {what} found below the folder {folder}, expected one folder for each case; check the path")
    return sorted(cases, key=lambda case: natural(case[0]))


def tokens(file: str | Path) -> list[str]:
    """A file name without its ending, in lower case, cut at everything that is neither letter nor digit."""
    return re.findall(r"[a-z0-9]+", stem(file).lower())


def stem(file: str | Path) -> str:
    """The file's name without .nii or .nii.gz."""
    name = Path(file).name
    ending = next((e for e in ENDINGS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)]


def natural(text: str) -> tuple:
    """A sorting key that counts: "case 2" before "case 10"."""
    parts = re.split(r"(\d+)", text.casefold())
    return tuple((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)), text


def _fit(alias: str, words: list[str]) -> int:
    """How many letters and digits of an alias a name has; 0 unless it has all of them, token by token."""
    parts = re.findall(r"[a-z0-9]+", alias.lower())
    whole = "".join(parts)
    if not whole:
        return 0
    joined = any("".join(words[i:j]) == whole for i in range(len(words)) for j in range(i + 1, len(words) + 1))
    return len(whole) if joined or set(parts) <= set(words) else 0


def _reject_repeated(files: list[Path]) -> None:
    seen: dict[Path, Path] = {}
    for file in files:
        real = file.expanduser().resolve()
        if real in seen:
            names = str(file) if seen[real] == file else f"{seen[real]} and {file}"
            raise InputError(f"the same file was given twice ({names}), expected a different file for each sequence; give each file once")
        seen[real] = file


def _folder(folder: str | Path) -> Path:
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise InputError(f"the folder {folder} does not exist, expected a folder of NIfTI files; check the path")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder of NIfTI files; give the folder it lies in")
    return folder


def _entries(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read ({error.strerror}), expected a readable folder; check its permissions"
        ) from None
    return sorted(found, key=lambda entry: natural(entry.name))


def _images_in(folder: Path) -> list[Path]:
    files = [entry for entry in _entries(folder) if entry.name.lower().endswith(ENDINGS) and entry.is_file()]
    return [file for file in files if not (set(tokens(file)) & NOT_AN_IMAGE)]


def _folders_in(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _case_folders(folder: Path, deepest: int) -> list[Path]:
    found = []
    for inner in _folders_in(folder):
        if _images_in(inner):
            found.append(inner)
        elif deepest > 1:
            found += _case_folders(inner, deepest - 1)
    return found


def _case_id(case: Path, cohort: Path) -> str:
    parts = list(case.relative_to(cohort).parts)
    while len(parts) > 1 and parts[-1].lower() in _PLAIN_FOLDERS:
        parts.pop()
    return printable("_".join(parts))


def _listed(files: list[Path], most: int = 8) -> str:
    names = [file.name for file in files]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"
