"""List, verify and delete the models on this computer."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from LDMSegLib.models.bundle import list_bundles, user_folder
from LDMSegLib.models.layout import Bundle

EMBEDDED, USER = "embedded", "user"


class ModelError(Exception):
    """Something cannot be done with a model; the message is one sentence."""


@dataclass(frozen=True)
class Model:
    """One bundle. `origin` is "embedded" (part of LDMSeg), "user" or "environment"; `problem` says why it cannot be used."""

    name: str
    title: str
    version: str
    folder: Path
    origin: str
    default: bool
    megabytes: float
    bundle: Bundle | None
    problem: str = ""

    @property
    def can_be_deleted(self) -> bool:
        """Only what a user put into LDMSeg's own folder for models."""
        return self.origin == USER

    @property
    def modes(self) -> tuple[str, ...]:
        """The ways to sample with it, the default one first; those that draw masks without an image are no way to segment."""
        if self.bundle is None:
            return ()
        spec = self.bundle.specification
        names = [name for name, mode in spec.modes.items() if mode.controlnet is not None]
        return tuple(sorted(names, key=lambda name: name != spec.default_mode))

    @property
    def text(self) -> str:
        """For a list: "ldmseg-small 0.1.0, 6.2 MB, part of LDMSeg"."""
        where = {EMBEDDED: "part of LDMSeg", USER: str(self.folder)}.get(self.origin, f"{self.folder} (LDMSEG_BUNDLES)")
        state = f": {self.problem}" if self.problem else ""
        return f"{' '.join(filter(None, (self.name, self.version)))}, {self.megabytes:.1f} MB, {where}{state}"


class ModelManager:
    """Needs no torch; only the deep verification does, and runs in the background."""

    def models(self) -> tuple[Model, ...]:
        """All that a name can stand for, damaged ones too."""
        return tuple(
            Model(
                listed.name,
                listed.bundle.specification.title if listed.bundle else listed.name,
                listed.bundle.version if listed.bundle else "",
                listed.folder,
                listed.origin,
                listed.default,
                _megabytes(listed.folder),
                listed.bundle,
                listed.problem or "",
            )
            for listed in list_bundles()
        )

    def user_folder(self) -> Path:
        """Where a user's models go."""
        return user_folder()

    def verify_arguments(self, model: Model) -> list[str]:
        """The arguments of `python -m LDMSegLib` for `BackgroundRun`: hash, header and every parameter's shape."""
        return ["models", "verify", str(model.folder)]

    def delete(self, model: Model) -> str:
        """Delete a user's model for good; whoever calls has asked first.

        Returns:
            One sentence that says what was done.

        Raises:
            ModelError: it isn't the user's to delete, is not there any more, or cannot be removed.
        """
        if not model.can_be_deleted:
            raise ModelError(
                f"The model '{model.name}' is part of LDMSeg and stays; uninstall the extension to remove it."
                if model.origin == EMBEDDED
                else f"The model '{model.name}' lies in {model.folder}, outside LDMSeg's own folder; delete it there."
            )
        if model.folder.parent.resolve() != user_folder().resolve():
            raise ModelError(f"The model '{model.name}' lies in {model.folder}, outside LDMSeg's own folder; delete it there.")
        try:
            if model.folder.is_symlink():
                model.folder.unlink()
                return f"The link to the model '{model.name}' was removed; what it pointed to is left as it was."
            # away in one step, so that no half of a model is ever found
            aside = model.folder.with_name(f".{model.folder.name}.deleted-{secrets.token_hex(4)}")
            model.folder.rename(aside)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ModelError(
                f"The model '{model.name}' could not be deleted ({reason}); close what uses it and check the folder's permissions."
            ) from error
        shutil.rmtree(aside, ignore_errors=True)
        return f"The model '{model.name}' was deleted ({model.megabytes:.1f} MB)."


def _megabytes(folder: Path) -> float:
    total = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            if path.is_file():
                total += path.stat().st_size
    return total / 1e6
