"""What MkDocs takes into the site from outside of Documentation/: see `hooks` in mkdocs.yml.

- Pages that have their place at the repository's root become pages of the site.
- Links to other files of the repository become links to GitHub.
- The records of decisions are listed in the navigation.
- A notebook becomes a page with the same name.
- `<!-- help: segment -->` is replaced by what `ldmseg segment --help` prints, so that the page cannot go stale.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTATION = "Documentation"
SOURCE = "https://github.com/SlicerLDMSeg/SlicerLDMSeg/blob/main/"
PAGES = {
    "MODEL_CARD.md": "model-card.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""File at the root → page of the site."""
IMAGES = {"LDMSeg.png": "images/LDMSeg.png"}
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
HELP = re.compile(r"<!-- help:([^>]*)-->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the records of decisions in the navigation, by their numbers."""
    records = sorted(path.name for path in Path(config.docs_dir, "decisions").glob("[0-9]*.md"))
    for section in config.nav or []:
        if "Decisions" in section:
            section["Decisions"] = ["decisions/index.md", *(f"decisions/{name}" for name in records)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the icon that lie at the root."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for notebook in sorted(Path(config.docs_dir).rglob("*.ipynb")):
        page = notebook.relative_to(config.docs_dir).with_suffix(".md").as_posix()
        files.append(File.generated(config, page, content=_notebook(notebook)))
    for source, target in IMAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend links that leave the site, and put in the help of the commands."""
    at_root = {target: source for source, target in PAGES.items()}
    here = at_root.get(page.file.src_uri, f"{DOCUMENTATION}/{page.file.src_uri}")
    markdown = LINK.sub(lambda found: found[1] + _link(found[2], here, page.file.src_uri) + found[3], markdown)
    return HELP.sub(lambda found: _help(found[1].split()), markdown)


def _link(target: str, here: str, page: str) -> str:
    """A link as the site needs it.

    Args:
        target: as it stands in the file, relative to the file's folder.
        here: the file, relative to the repository's root.
        page: the same page's place in the site.
    """
    if re.match(r"[a-z]+:|#", target):
        return target
    path, _, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    anchor = anchor and f"#{anchor}"
    if path in PAGES:
        path = PAGES[path]
    elif path in IMAGES:
        path = IMAGES[path]
    elif path.startswith(f"{DOCUMENTATION}/"):
        path = path.removeprefix(f"{DOCUMENTATION}/")
        path = f"{path.removesuffix('.ipynb')}.md" if path.endswith(".ipynb") else path
    elif (ROOT / path).exists():
        return f"{SOURCE}{path}{anchor}"
    else:
        raise PluginError(f"{here} links to '{target}', which is not in the repository")
    return posixpath.relpath(path, posixpath.dirname(page) or ".") + anchor


def _notebook(path: Path) -> str:
    """A notebook's text and code, without outputs; the file itself is linked below."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    shown = [f"```python\n{part}\n```" if cell["cell_type"] == "code" else part for cell, part in zip(cells, parts, strict=True)]
    return "\n\n".join([*shown, f"[This page as a notebook]({SOURCE}{path.relative_to(ROOT).as_posix()})"]) + "\n"


def _help(words: list[str]) -> str:
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "LDMSegLib", *words, "--help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PluginError(f"'ldmseg {' '.join([*words, '--help'])}' ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return f"```text\n{done.stdout.rstrip()}\n```"
