"""Findings as rich text for a label."""

from __future__ import annotations

import html
from collections.abc import Iterable

from LDMSegModule.checks.Finding import Finding

_MARKS = {"problem": ("#b3261e", "✕"), "warning": ("#9a6b00", "!"), "note": ("#5f6368", "i")}


def findings_html(findings: Iterable[Finding]) -> str:
    """One line for each finding, problems first and notes last, marked by colour and sign."""
    rows = []
    for finding in sorted(findings, key=lambda f: list(_MARKS).index(f.severity)):
        colour, mark = _MARKS[finding.severity]
        rows.append(
            f'<tr><td style="color: {colour}; padding-right: 6px;"><b>{mark}</b></td><td style="padding-bottom: 2px;">'
            f"{html.escape(finding.text)}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>" if rows else ""
