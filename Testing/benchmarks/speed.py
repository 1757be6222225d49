"""Seconds and memory of a whole case, NIfTI to NIfTI, beside one pass of a SegResNet on the same case.

    python -m Testing.benchmarks.speed [CASE_DIR]

Without a case it makes the synthetic patient.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from Testing.benchmarks.process import Cost, machine, measure, table

IMPORT = (
    "import sys, time; start = time.perf_counter(); import LDMSegLib; print(time.perf_counter() - start); assert 'torch' not in sys.modules"
)


def main(case: str | None = None) -> None:
    print(f"Machine: {machine()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if case is None:
            measure(["-m", "LDMSegLib", "demo-patient", "-o", str(folder / "patient")])
            case = str(folder / "patient")
        print(_startup())
        print(_whole_case(case, folder))
        print(_memory(case, folder))


def _startup() -> str:
    bare = statistics.median(float(measure(["-c", IMPORT]).output) for _ in range(3))
    rows = [("import LDMSegLib (without torch)", f"{bare:.3f}")]
    rows += [
        (f"ldmseg {command}", f"{measure(['-m', 'LDMSegLib', *command.split()]).wall:.2f}") for command in ("--help", "models list", "info")
    ]
    return table("Start-up", ("what", "seconds"), rows)


def _segment(case: str, folder: Path, mode: str, members: int) -> tuple[Cost, dict]:
    out = folder / f"{mode}{members}"
    cost = measure(["-m", "LDMSegLib", "segment", case, "-o", str(out), "--overwrite", "--mode", mode, "--members", str(members)])
    return cost, json.loads((out / "provenance.json").read_text())


def _whole_case(case: str, folder: Path) -> str:
    passes = {p: measure(["-m", "Testing.benchmarks.segresnet_pass", case, p]) for p in ("float32", "bfloat16")}
    one_pass = {precision: float(cost.output.splitlines()[-1]) for precision, cost in passes.items()}
    rows = []
    for mode, members in (("fast", 1), ("fast", 10), ("fast", 30), ("solver", 30)):
        cost, provenance = _segment(case, folder, mode, members)
        steps = provenance["sampling"]["steps"]
        staged = sum(provenance["timings_s"].values())
        rows.append(
            (
                f"LDMSeg {mode}, {members} members × {steps} steps, NIfTI to NIfTI",
                f"{cost.wall:.1f}",
                f"{provenance['timings_s']['sample']:.1f}",
                f"{cost.wall - staged:.1f}",
                f"{cost.peak_gib:.2f}",
                f"{cost.wall / one_pass['float32']:.2f}",
                f"{cost.wall / one_pass['bfloat16']:.2f}",
            )
        )
    for precision, cost in passes.items():
        seconds = one_pass[precision]
        ratios = (f"{seconds / one_pass['float32']:.2f}", f"{seconds / one_pass['bfloat16']:.2f}")
        rows.append((f"SegResNet, one pass, {precision}, network alone", f"{seconds:.1f}", "", "", f"{cost.peak_gib:.2f}", *ratios))
    head = ("what", "wall s", "sampling s", "start-up and files s", "peak GiB", "÷ pass float32", "÷ pass bfloat16")
    return table("A whole case", head, rows)


def _memory(case: str, folder: Path) -> str:
    few, _ = _segment(case, folder, "fast", 8)  # as many as there are views: each view is read in both
    many, _ = _segment(case, folder, "fast", 30)
    return table(
        "Memory doesn't grow with the ensemble",
        ("members", "peak GiB", "÷ 8 members"),
        [("8", f"{few.peak_gib:.2f}", "1.00"), ("30", f"{many.peak_gib:.2f}", f"{many.peak_gib / few.peak_gib:.2f}")],
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
