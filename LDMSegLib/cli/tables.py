"""Rows of text in aligned columns."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], align: str, header: Sequence[str] = (), indent: str = "  ") -> str:
    """Lay rows out.

    Args:
        rows: cells; anything with a text form.
        align: "<" or ">" for each column.
        header: names of the columns.
        indent: before each line.
    """
    lines = [[str(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    widths = [max((len(line[c]) for line in lines), default=0) for c in range(len(align))]
    return "\n".join(
        indent + "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, align, widths, strict=True)).rstrip()
        for line in lines
    )
