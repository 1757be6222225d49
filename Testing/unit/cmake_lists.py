"""What the CMake lists say and what the tree holds.

python Testing/unit/cmake_lists.py             says what differs
python Testing/unit/cmake_lists.py --update    writes the lists anew
python Testing/unit/cmake_lists.py --copy DIR  copies what is listed as the package lays it out
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {"CMakeLists.txt", ".DS_Store"}


@dataclass(frozen=True)
class Package:
    """A folder with a CMakeLists.txt that lists its Python files in one variable and all others in another."""

    folder: str
    scripts: str
    resources: str

    @property
    def path(self) -> Path:
        return ROOT / self.folder

    @property
    def lists(self) -> Path:
        return self.path / "CMakeLists.txt"

    def in_tree(self) -> dict[str, list[str]]:
        """Variable → files, relative to the folder."""
        files = sorted(path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file() and _packaged(path))
        return {
            self.scripts: [file for file in files if file.endswith(".py")],
            self.resources: [file for file in files if not file.endswith(".py")],
        }

    def in_cmake(self) -> dict[str, list[str]]:
        text = self.lists.read_text(encoding="utf-8")
        return {name: _block(name).search(text).group(2).split() for name in (self.scripts, self.resources)}

    def update(self) -> None:
        text = self.lists.read_text(encoding="utf-8")
        for name, files in self.in_tree().items():
            lines = "".join(f"\n  {file}" for file in files)
            text = _block(name).sub(lambda found, lines=lines: f"{found.group(1)}{lines}\n  )", text)
        self.lists.write_text(text, encoding="utf-8", newline="\n")


PACKAGES = (
    Package("LDMSeg", "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"),
    Package("LDMSegLib", "LIBRARY_PYTHON_SCRIPTS", "LIBRARY_PYTHON_RESOURCES"),
)


def copy(folder: Path) -> None:
    """Only what is listed, where the extension's package has it: the module's files, and LDMSegLib as a folder beside them."""
    for package in PACKAGES:
        target = folder if package.folder == "LDMSeg" else folder / package.folder
        for files in package.in_cmake().values():
            for file in files:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(package.path / file, target / file)


def differences(package: Package) -> list[str]:
    """One sentence for each file that is listed and not there, or there and not listed."""
    found = []
    told, there = package.in_cmake(), package.in_tree()
    for name in told:
        found += [f"{package.folder}/{file} is not in {name}: it would not be packaged" for file in there[name] if file not in told[name]]
        found += [f"{name} lists {package.folder}/{file}, which is not there" for file in told[name] if file not in there[name]]
        found += [f"{name} lists {package.folder}/{file} twice" for file in sorted(set(told[name])) if told[name].count(file) > 1]
    return found


def _packaged(path: Path) -> bool:
    return path.name not in IGNORED and path.suffix != ".pyc" and "__pycache__" not in path.parts


def _block(name: str) -> re.Pattern:
    return re.compile(rf"(set\({name})\b([^)]*)\)")


if __name__ == "__main__":
    if "--copy" in sys.argv[1:]:
        copy(Path(sys.argv[sys.argv.index("--copy") + 1]))
    for package in PACKAGES:
        if "--update" in sys.argv[1:]:
            package.update()
        for sentence in differences(package):
            print(sentence)
    sys.exit(any(differences(package) for package in PACKAGES))
