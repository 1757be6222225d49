"""Which file is which sequence, told from file names; and where in a folder the cases are.

Names are read word by word by the rules that DICOM descriptions are read by too (`sequences.reading`). A folder may hold one case, one
case in a folder for each (BIDS: only `anat`), or many side by side in nnU-Net's layout (`case_0000.nii.gz`, see `sequences.channels`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from LDMSegLib.errors import InputError
from LDMSegLib.io.endings import IMAGES
from LDMSegLib.io.printable import printable
from LDMSegLib.sequences.channels import channel_cases, channel_names, channels_of, is_channel_layout
from LDMSegLib.sequences.file_names import NamedFile, read_files
from LDMSegLib.sequences.identified import CERTAIN, Identified, Use
from LDMSegLib.sequences.names import sequences_in
from LDMSegLib.sequences.site_rules import SiteRules
from LDMSegLib.specification import Sequence

ENDINGS = IMAGES

# Files that lie beside the images but are masks or results, told by any of these tokens in the name.
NOT_AN_IMAGE = frozenset(
    "seg segmentation segmentations mask masks brainmask label labels labelmap dseg roi truth gt pred preds prediction predictions "
    "prob probs probability probabilities probseg variance uncertainty uncertain".split()
)

# Folders that say nothing about which case they hold.
_PLAIN_FOLDERS = ("anat", "nifti", "nii")
# BIDS's folders for other data than structural images, and nnU-Net's for labels and predictions.
_OTHER_DATA = frozenset("dwi perf func fmap swi mrs eeg meg ieeg pet beh micr motion nirs labelstr labelsts labelsval infersts".split())
# Beside the subjects of a BIDS data set: what was derived from them would be the same cases again.
_OF_A_DATA_SET = frozenset("derivatives sourcedata rawdata_dicom code stimuli phenotype".split())
_DEEPEST = 4


@dataclass(frozen=True)
class Assignment:
    """Sequence name → file in the specification's order, and what is to be told of how the files were told apart."""

    files: dict[str, Path]
    identified: Identified = Identified()

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each choice that is not certain."""
        return tuple(
            f"{use.name} is taken for {use.sequence} ({use.certainty}): {use.reason}; check it"
            for use in self.identified.used
            if use.certainty != CERTAIN
        )


def assign(files: Iterable[str | Path], sequences: tuple[Sequence, ...]) -> dict[str, Path]:
    """Decide from the names which file is which sequence, see `tell_apart`.

    Returns:
        Sequence name → file, in the order of `sequences`.
    """
    return tell_apart(files, sequences).files


def tell_apart(
    files: Iterable[str | Path],
    sequences: tuple[Sequence, ...],
    rules: SiteRules = SiteRules(),  # noqa: B008 -- frozen
) -> Assignment:
    """Decide from the names which file is which sequence, and say why.

    Masks and results (see NOT_AN_IMAGE) are passed over. A sequence that is not required may be absent, unless a file could be it and
    something else as well.

    Args:
        files: NIfTI files of one case, in any order.
        sequences: of the bundle's specification.
        rules: the site's own.

    Raises:
        InputError: the same file twice, two candidates for one sequence, none for a required one or one that an unclear file
            could be, or nnU-Net's channel numbers without a word on what they are.
    """
    seen = [Path(file) for file in files]
    _reject_repeated(seen)
    images = [file for file in seen if not (set(tokens(file)) & NOT_AN_IMAGE)]
    if is_channel_layout([stem(file) for file in images]):
        told = _by_channel(images, sequences, rules)
    else:
        told = read_files(images, [stem(file) for file in images], sequences, rules)
    candidates: dict[str, list[NamedFile]] = {sequence.name: [] for sequence in sequences}
    unclear, perhaps = [], set()
    for one in told:
        if len(one.names) == 1:
            candidates[one.names[0]].append(one)
        elif one.names:
            unclear.append(f"{one.file.name} could be {' or '.join(one.names)} ({one.reason})")
            perhaps.update(one.names)
    for sequence in sequences:
        found = [one.file for one in candidates[sequence.name]]
        if len(found) > 1:
            names = " and ".join(sorted((str(file) for file in found), key=natural)[:4]) + (" and others" if len(found) > 4 else "")
            raise InputError(
                f"{len(found)} files could be {sequence.title} ({sequence.name}): {names}, expected one; remove or rename the others, "
                f"name the file with --{sequence.name}, or say by --site-rules which is meant"
            )
    absent = [sequence for sequence in sequences if not candidates[sequence.name] and (sequence.required or sequence.name in perhaps)]
    if absent:
        what = " and ".join(f"{sequence.title} ({sequence.name})" for sequence in absent)
        options = " ".join(f"--{sequence.name} FILE" for sequence in absent)
        expected = ", ".join(sequence.name for sequence in sequences if sequence.required or sequence in absent)
        reasons = [*unclear, *_passed_over(told)]
        raise InputError(
            f"no file for {what} among {len(images)} image(s) ({_listed(images)}){'; ' if reasons else ''}{', '.join(reasons)}, expected "
            f"one for {expected}; rename the files or give them by {options}"
        )
    used = tuple(Use(name, found[0].file.name, found[0].certainty, found[0].reason) for name, found in candidates.items() if found)
    unused = tuple((one.file.name, _why_unused(one)) for one in told if len(one.names) != 1)
    unused += tuple((file.name, "its name says that it is a mask or a result") for file in seen if file not in images)
    return Assignment({name: found[0].file for name, found in candidates.items() if found}, Identified(used, unused))


def sequences_of(file: str | Path, sequences: tuple[Sequence, ...]) -> list[str]:
    """The sequences that a name alone may be: one if it is clear, none if nothing fits, several if it is not clear."""
    return list(sequences_in(stem(file), sequences).names)


def find_case(folder: str | Path, sequences: tuple[Sequence, ...]) -> dict[str, Path]:
    """The sequences of the one case in a folder, see `find_files`, in the order of `sequences`."""
    return find_files(folder, sequences).files


def find_files(
    folder: str | Path,
    sequences: tuple[Sequence, ...],
    rules: SiteRules = SiteRules(),  # noqa: B008 -- frozen
) -> Assignment:
    """The sequences of the one case in a folder: its own NIfTI files, or where it has none, those below it.

    Args:
        folder: of one case; or, of nnU-Net's layout, the path that all files of the case begin with (`imagesTs/case_7`).
        sequences: of the bundle's specification.
        rules: the site's own.

    Raises:
        InputError: not a folder, unreadable, no NIfTI file in it, or anything `tell_apart` objects to.
    """
    folder = Path(folder).expanduser()
    if not folder.exists() and (files := _files_beginning_with(folder)):
        return tell_apart(files, sequences, rules)
    folder = _folder(folder)
    files = _images_in(folder) and _niftis_in(folder)
    if not files:
        below = [_images_in(inner) for inner in _case_folders(folder, _DEEPEST)]
        if sum(len(images) > 1 for images in below) > 1:
            raise InputError(
                f"the folder {folder} holds several cases, each in its own folder, expected the images of one case; give one of these "
                "folders, or all of them with --cohort"
            )
        files = [file for images in below for file in images]
    if not files:
        raise InputError(
            f"the folder {folder} holds no image that can be read, expected NIfTI, NRRD or MetaImage files or DICOM series; check the path"
        )
    cases = channel_cases([stem(file) for file in _images_in(folder)])
    if len(cases) > 1:
        raise InputError(
            f"the folder {folder} holds {len(cases)} cases side by side in nnU-Net's layout ({', '.join(list(cases)[:3])}, ...), expected "
            f"one; give {folder / next(iter(cases))}, or all of them with --cohort {folder}"
        )
    return tell_apart(files, sequences, rules)


def find_cohort(
    folder: str | Path, sequences: tuple[Sequence, ...], is_study: Callable[[Path], bool] | None = None
) -> list[tuple[str, Path]]:
    """The cases below a folder: every folder that itself holds at least one image, masks and results apart, and every study.

    A case whose files are incomplete is listed all the same, so that it can be reported and not be lost silently. Of BIDS only the
    structural images are a case (`anat`, not `dwi`, `perf`, `func`, `fmap`), and not what was derived from them. A folder in nnU-Net's
    layout holds a case for each name before the channel's number.

    Args:
        folder: of the cohort, one folder (of any depth up to four) for each case, or all cases' files in nnU-Net's layout.
        sequences: of the bundle's specification.
        is_study: whether a folder, or one below it, holds images of another format. Asked of the folders directly below
            `folder` in which there is no NIfTI image: each is one patient's.

    Returns:
        (case id, folder) in natural order (case 2 before case 10); the id is the path below `folder`, joined by "_". Of nnU-Net's
        layout the path is what the case's files begin with, as `find_files` takes it.

    Raises:
        InputError: not a folder, or no case in it.
    """
    folder = _folder(folder)
    images = _images_in(folder)
    if flat := channel_cases([stem(file) for file in images]):
        return sorted(((id, folder / id) for id in flat), key=lambda case: natural(case[0]))
    if any(sequences_of(file, sequences) for file in images):
        raise InputError(
            f"the folder {folder} holds images itself, expected one folder for each case; move each case into its own folder, "
            "or segment it as a single case"
        )
    cases = []
    for inner in _folders_in(folder):
        if _no_cases(inner):
            continue
        found = [inner] if _images_in(inner) else _case_folders(inner, _DEEPEST - 1)
        if not found and is_study is not None and is_study(inner):
            found = [inner]
        for case in found:
            flat = channel_cases([stem(file) for file in _images_in(case)])
            cases += [(_case_id(one, folder), one) for one in ([case / id for id in flat] or [case])]
    if not cases:
        what = "NIfTI images were" if is_study is None else "NIfTI images and no DICOM study were"
        raise InputError(f"no {what} found below the folder {folder}, expected one folder for each case; check the path")
    return sorted(cases, key=lambda case: natural(case[0]))


def tokens(file: str | Path) -> list[str]:
    """A file name without its ending, in lower case, cut at everything that is neither letter nor digit."""
    return re.findall(r"[a-z0-9]+", stem(file).lower())


def stem(file: str | Path) -> str:
    """The file's name without its ending."""
    name = Path(file).name
    ending = next((e for e in ENDINGS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)]


def natural(text: str) -> tuple:
    """A sorting key that counts: "case 2" before "case 10"."""
    parts = re.split(r"(\d+)", text.casefold())
    return tuple((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)), text


def _why_unused(one: NamedFile) -> str:
    return one.reason if not one.names else f"it could be {' or '.join(one.names)}: {one.reason}"


def _passed_over(told: list[NamedFile], most: int = 4) -> list[str]:
    """Why files are none of the sequences, where one is missed."""
    said = [f"{one.file.name} was not used: {one.reason}" for one in told if not one.names]
    return said[:most] + ([f"and {len(said) - most} more"] if len(said) > most else [])


def _by_channel(images: list[Path], sequences: tuple[Sequence, ...], rules: SiteRules) -> list[NamedFile]:
    """Files of nnU-Net's layout: what a channel is, is said by dataset.json or the site's rules, and never guessed."""
    channels = [channels_of(stem(file)) for file in images]
    names, source = channel_names(images[0].parent, sequences, rules)
    if not names:
        raise InputError(
            f"{_listed(images)} are named by nnU-Net's channel numbers, and nothing says which channel is which sequence (data sets "
            "differ: T1, T1ce, T2, FLAIR in one, FLAIR, T1, T1ce, T2 in another), expected a dataset.json with channel_names beside "
            'them or one folder up; add it, or say it by --site-rules FILE with lines such as "0000<tab>t1n"'
        )
    told = []
    for file, (_, channel) in zip(images, channels, strict=True):
        found, said = names.get(channel, ((), "no such channel"))
        told.append(NamedFile(file, found, CERTAIN if len(found) == 1 else "", f'channel {channel} is "{said}" by {source}'))
    return told


def _files_beginning_with(path: Path) -> list[Path]:
    """The files of one case in nnU-Net's layout."""
    if not path.parent.is_dir():
        return []
    return [file for file in _images_in(path.parent) if (found := channels_of(stem(file))) and found[0] == path.name]


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
        raise InputError(f"the folder {folder} does not exist, expected a case's folder (NIfTI, NRRD, MetaImage or DICOM); check the path")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a case's folder; give the folder it lies in")
    return folder


def _entries(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read ({error.strerror}), expected a readable folder; check its permissions"
        ) from None
    return sorted(found, key=lambda entry: natural(entry.name))


def _niftis_in(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.name.lower().endswith(ENDINGS) and entry.is_file()]


def _images_in(folder: Path) -> list[Path]:
    return [file for file in _niftis_in(folder) if not (set(tokens(file)) & NOT_AN_IMAGE)]


def _folders_in(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _case_folders(folder: Path, deepest: int) -> list[Path]:
    """The folders below one that hold images of a case, down to a depth; those of other data are passed over."""
    found = []
    for inner in _folders_in(folder):
        if _no_cases(inner):
            continue
        if _images_in(inner):
            found.append(inner)
        elif deepest > 1:
            found += _case_folders(inner, deepest - 1)
    return found


def _no_cases(folder: Path) -> bool:
    """Whether a folder holds other data than a case's structural images, or what was derived from a data set."""
    name = folder.name.lower()
    return (name in _OTHER_DATA and bool(_images_in(folder))) or (
        name in _OF_A_DATA_SET and (folder.parent / "dataset_description.json").is_file()
    )


def _case_id(case: Path, cohort: Path) -> str:
    parts = list(case.relative_to(cohort).parts)
    while len(parts) > 1 and parts[-1].lower() in _PLAIN_FOLDERS:
        parts.pop()
    return printable("_".join(parts))


def _listed(files: list[Path], most: int = 8) -> str:
    names = [file.name for file in files]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"
