"""Install packages into Slicer's Python with Slicer's own functions."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import slicer.util

from LDMSegModule.install.Installation import InstallationError

KEPT = ("numpy", "scipy", "torch", "SimpleITK", "vtk", "pydicom")
"""Parts of Slicer, or chosen for this computer: pip may not replace them for the sake of another package."""


class SlicerInstaller:
    """See `Installation.Installer`. Both methods block, with Slicer's own busy cursor or progress window."""

    def install_torch(self, specifier: str) -> None:
        """Have the PyTorch extension choose and install torch, e.g. ">=2.4"."""
        try:
            PyTorchUtils = importlib.import_module("PyTorchUtils")  # another extension: there or not
        except ImportError:
            raise InstallationError(
                "The PyTorch extension is not installed, which chooses the right PyTorch for this computer; install 'PyTorch' in the "
                "Extensions Manager, restart Slicer, and press Install again."
            ) from None
        try:
            torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=specifier)
        except (RuntimeError, ValueError, OSError, subprocess.CalledProcessError) as error:
            raise InstallationError(f"PyTorch could not be installed ({_reason(error)}); {_advice(error)}.") from error
        if torch is None:
            raise InstallationError("PyTorch was not installed; press Install again, or install it in the module PyTorch Utils.")

    def install(self, arguments: Sequence[str]) -> None:
        """`pip install`, with Slicer's own packages kept as they are."""
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "constraints.txt"
            kept.write_text("".join(f"{line}\n" for line in _installed(KEPT, arguments)), encoding="utf-8")
            try:
                slicer.util.pip_install(["--constraint", str(kept), *arguments])
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                names = " ".join(argument for argument in arguments if not argument.startswith("-") and ">=" in argument)
                raise InstallationError(f"{names} could not be installed ({_reason(error)}); {_advice(error)}.") from error
        importlib.invalidate_caches()


def _installed(packages: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Constraints that hold what is installed, except what is itself to be installed anew."""
    asked = {argument.split(">=")[0] for argument in arguments}
    found = []
    for package in packages:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if package not in asked:
            found.append(f"{package}=={version}")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"pip ended with {error.returncode}"
    return " ".join(str(error).split()) or type(error).__name__


def _advice(error: Exception) -> str:
    return "see Slicer's Python console for what pip said; without the internet use 'From a folder…'"
