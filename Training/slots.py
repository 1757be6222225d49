"""Train in short slots: on a machine that is ours for some minutes at a time, under any scheduler.

    python -m Training.slots --config Training/configs/small.json --data DATA --run runs/small --minutes 9 --output out

Call it again and it goes on: unfinished phases in order, each once those it needs are finished, until the slot's minutes
are used. Then it writes to the output folder the checkpoints (see `Training.parcels`), a log, and `slots.json`: steps per
second of each phase, the minutes it still needs, and, where a case is given, how fast the bundle segments it. Where the
run folder is lost between two slots, give the last output back with --input.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import torch

from LDMSegLib.errors import LDMSegError
from Training.assemble import assemble
from Training.autoencoder import AutoencoderTask
from Training.checkpoints import trained_steps
from Training.command import one_sentence
from Training.conditioning import ConditioningTask
from Training.configuration import Configuration, read_configuration
from Training.controlnet import ControlNetTask
from Training.decoder import DecoderTask
from Training.diffusion import DiffusionTask
from Training.distillation import DistillationTask, distil
from Training.engine import Options, Outcome, train
from Training.parcels import Limits, pack, unpack
from Training.prepare import prepare_once
from Training.speed import measure

# In the order in which they are trained, with the phases that have to be finished before.
TASKS = {t.name: t for t in (AutoencoderTask, DiffusionTask, ConditioningTask, ControlNetTask, DecoderTask, DistillationTask)}
NEEDS = {
    "diffusion": ("autoencoder",),
    "controlnet": ("diffusion", "conditioning"),
    "decoder": ("autoencoder",),
    "distillation": ("controlnet",),
}
REPORT, LOG = "slots.json", "slots.log"


def train_for(minutes: float, configuration: Configuration, options: Options, budgets: dict[str, float], report: dict[str, Any]) -> None:
    """Train what is unfinished for so many minutes in all, each phase for its budget of them at most.

    `report` gets what became of each phase as it happens, so that nothing is lost with a phase that fails.
    """
    deadline = time.monotonic() + minutes * 60
    phases = [name for name in TASKS if name in configuration.phases]
    finished = {name for name in phases if _finished(configuration, options, name)}
    for name in phases:
        waiting = [need for need in NEEDS.get(name, ()) if need in phases and need not in finished]
        left = min((deadline - time.monotonic()) / 60, budgets.get(name, float("inf")))
        if name in finished or left <= 0:
            continue
        if waiting:
            print(f"{name} waits for {' and '.join(waiting)}", flush=True)
            continue
        outcome = _train(name, configuration, replace(options, max_minutes=left))
        if outcome is None:  # the time went into preparing it
            continue
        report.setdefault("phases", {})[name] = _described(outcome, report.get("phases", {}).get(name, {}))
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if outcome.finished:
            finished.add(name)
        if outcome.interrupted:
            print("stopped by a signal", flush=True)
            return


def _finished(configuration: Configuration, options: Options, phase: str) -> bool:
    done, begun_for = trained_steps(options.run, phase)
    # Where the configuration counts in epochs, how many steps they are is known to the checkpoint.
    return done > 0 and done >= (options.steps or configuration.phases[phase].steps or begun_for)


def _train(phase: str, configuration: Configuration, options: Options) -> Outcome | None:
    return distil(configuration, options) if phase == DistillationTask.name else train(TASKS[phase], configuration, options)


def _described(outcome: Outcome, before: dict[str, Any]) -> dict[str, Any]:
    seconds = outcome.seconds_per_step or before.get("seconds_per_step")
    return {
        "done": outcome.done,
        "steps": outcome.steps,
        "finished": outcome.finished,
        "seconds_per_step": seconds,
        "steps_per_second": seconds and 1 / seconds,
        "minutes_left": seconds and (outcome.steps - outcome.done) * seconds / 60,
    }


def _machine() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "name": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "kind": "cuda" if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }


class _Both:
    """Standard output and a log file at once."""

    def __init__(self, *streams: IO[str]) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def main() -> None:
    started = time.monotonic()
    arguments = _arguments()
    with one_sentence():
        configuration = read_configuration(arguments.config)
    arguments.output.mkdir(parents=True, exist_ok=True)
    arguments.run.mkdir(parents=True, exist_ok=True)
    # A scheduler's SIGTERM outside a training loop still leaves room for `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with open(arguments.run / LOG, "a", encoding="utf-8") as log, contextlib.redirect_stdout(_Both(sys.stdout, log)):
        report = _slot(arguments, configuration, started)
    sys.exit(1 if "error" in report else 0)


def _slot(arguments: argparse.Namespace, configuration: Configuration, started: float) -> dict[str, Any]:
    run, phases = arguments.run, tuple(name for name in TASKS if name in configuration.phases)
    options = Options(
        run, seed=arguments.seed, accelerator=arguments.accelerator, devices="1", workers=arguments.workers, steps=arguments.steps
    )
    report: dict[str, Any] = {}

    def left() -> float:
        return arguments.minutes - (time.monotonic() - started) / 60

    try:
        if arguments.input is not None:
            print(f"brought in: {', '.join(unpack(arguments.input, phases, run)) or 'nothing'}", flush=True)
        report = {**_earlier(run, arguments.input), "machine": _machine()}
        report.pop("error", None)
        if arguments.data is not None:
            prepare_once(configuration, arguments.data, run, rank=0)
        train_for(left() - arguments.reserve, configuration, options, arguments.budget, report)
        if _finished(configuration, options, "controlnet"):
            bundle = assemble(configuration, run, run / "bundle" / configuration.name, overwrite=True)
            if arguments.case is not None:
                print("measuring how fast it segments", flush=True)
                report["inference"] = measure(bundle.folder, arguments.case, arguments.members, left() * 60, _device(arguments.accelerator))
    except LDMSegError as error:
        report["error"] = str(error)
        print(f"error: {error}", flush=True)
    except Exception:
        report["error"] = traceback.format_exc()
        print(report["error"], flush=True)
    finally:
        # Two files are the log's and the report's.
        limits = Limits(int(arguments.max_file_mib * 2**20), arguments.max_files - 2)
        report["files"] = pack(run, phases, arguments.output, limits)
        report["minutes"] = round((time.monotonic() - started) / 60, 2)
        text = json.dumps(report, indent=1)
        (run / REPORT).write_text(text, encoding="utf-8")
        (arguments.output / REPORT).write_text(text, encoding="utf-8")
        sys.stdout.flush()
        log = (run / LOG).read_bytes()
        (arguments.output / LOG).write_bytes(log[-limits.file_bytes :])
    print(text, flush=True)
    return report


def _earlier(run: Path, source: Path | None) -> dict[str, Any]:
    """What earlier slots reported."""
    for folder in (run, source):
        if folder is not None and (folder / REPORT).exists():
            return json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return {}


def _device(accelerator: str) -> str:
    return accelerator if accelerator in ("cpu", "cuda", "mps") else "auto"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="one of Training/configs/*.json")
    parser.add_argument("--data", type=Path, help="prepared into the run folder if that was not done yet")
    parser.add_argument("--run", type=Path, required=True, help="folder for prepared data, checkpoints and curves")
    parser.add_argument("--output", type=Path, required=True, help="folder for what shall be kept: checkpoints, log, slots.json")
    parser.add_argument("--input", type=Path, help="an earlier slot's output, where the run folder was lost")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this slot, everything included")
    parser.add_argument("--reserve", type=float, default=1.0, help="minutes of them kept for the last validation, measuring and writing")
    parser.add_argument("--budget", nargs="*", default=[], metavar="PHASE=MINUTES", help="at most so long on a phase in this slot")
    parser.add_argument("--steps", type=int, default=0, help="of every phase, instead of the configuration's (for a trial)")
    parser.add_argument("--case", type=Path, help="a folder with one case's images: measure how fast it is segmented")
    parser.add_argument("--members", type=int, default=30, help="of the measured ensembles")
    parser.add_argument("--max-file-mib", type=float, default=16.0, help="a file of the output may be as large as this")
    parser.add_argument("--max-files", type=int, default=8, help="the output may have so many files")
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, mps or auto")
    parser.add_argument("--workers", type=int, default=max((os.cpu_count() or 2) - 1, 1), help="processes that prepare batches")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    budgets = dict(item.partition("=")[::2] for item in arguments.budget)
    unknown = [name for name in budgets if name not in TASKS]
    if unknown:
        parser.error(f"--budget names '{unknown[0]}', expected {', '.join(TASKS)}")
    try:
        arguments.budget = {name: float(value) for name, value in budgets.items()}
    except ValueError:
        parser.error("--budget takes PHASE=MINUTES, for example autoencoder=2.5")
    return arguments


if __name__ == "__main__":
    main()
