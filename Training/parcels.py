"""Checkpoints as a few small files, for places that hand back only so many of a limited size; and back into a run folder.

A finished phase travels as its weights alone, in float16 where float32 is too large. An unfinished one travels whole, so
that it can be trained further elsewhere, unless that is too much.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Limits:
    """What a folder may hold: bytes a file, and how many files."""

    file_bytes: int
    files: int


def pack(run: Path, phases: tuple[str, ...], output: Path, limits: Limits) -> dict[str, str]:
    """Write every phase's checkpoint into `output` as `<phase>.pt`, or in pieces `<phase>.pt.0`, `<phase>.pt.1`, ...

    Args:
        limits: `files` counts what these checkpoints may take.

    Returns:
        Phase → "weights", "weights in float16", "whole checkpoint" or why it was left out.
    """
    said, free = {}, limits.files
    for phase in phases:
        path = run / phase / "checkpoint.pt"
        if not path.exists():
            continue
        _remove(output, phase)
        said[phase] = f"left out: larger than {free} files of {limits.file_bytes} bytes"
        for what, content in _forms(torch.load(path, map_location="cpu", weights_only=True), limits.file_bytes):
            pieces = [content[i : i + limits.file_bytes] for i in range(0, len(content), limits.file_bytes)]
            if len(pieces) <= free:
                for number, piece in enumerate(pieces):
                    (output / (f"{phase}.pt" if len(pieces) == 1 else f"{phase}.pt.{number}")).write_bytes(piece)
                said[phase] = what
                free -= len(pieces)
                break
    return said


def unpack(source: Path, phases: tuple[str, ...], run: Path) -> list[str]:
    """Put what `pack` wrote back as checkpoints, where the run folder has none that went further.

    Returns:
        The phases that were brought in.
    """
    brought = []
    for phase in phases:
        content = b"".join(piece.read_bytes() for piece in _pieces(source, phase))
        if not content:
            continue
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        path = run / phase / "checkpoint.pt"
        if path.exists() and torch.load(path, map_location="cpu", weights_only=True)["step"] >= state["step"]:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_bytes(content)
        os.replace(path.with_suffix(".part"), path)
        brought.append(phase)
    return brought


def _forms(state: dict[str, Any], file_bytes: int):
    """A checkpoint as bytes, in the order in which its forms are preferred."""
    if state["step"] < state["steps"] and state["optimiser"] is not None:
        yield "whole checkpoint", _bytes(state)
    weights = {**state, "averaged": state["averaged"] or state["model"], "model": {}, "optimiser": None}
    content = _bytes(weights)
    if len(content) <= file_bytes:
        yield "weights", content
    yield "weights in float16", _bytes({**weights, "averaged": {key: _half(value) for key, value in weights["averaged"].items()}})


def _half(value: torch.Tensor) -> torch.Tensor:
    half = value.half() if value.is_floating_point() else value
    return half if half.isfinite().all() else value


def _bytes(state: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def _pieces(folder: Path, phase: str) -> list[Path]:
    whole = folder / f"{phase}.pt"
    if whole.exists():
        return [whole]
    return sorted(folder.glob(f"{phase}.pt.[0-9]*"), key=lambda path: int(path.suffix[1:]))


def _remove(folder: Path, phase: str) -> None:
    for path in _pieces(folder, phase):
        path.unlink()
