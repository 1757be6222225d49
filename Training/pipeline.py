"""From a data folder to a bundle: all phases in order, each skipped when it is finished.

    python -m Training.pipeline --config Training/configs/small.json --data DATA --run runs/small --output bundles/ldmseg-small

Stopped by Ctrl-C, SIGTERM, a kill or the end of `--minutes`, the same command goes on where it was. Every stage is a command of its
own, printed before it runs, and can be run alone. With `--weights FOLDER` each finished phase is also kept there in half precision,
and taken from there where the run folder was lost.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from Training.checkpoints import phase_folder, trained_steps
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration
from Training.files import write_text
from Training.prepare import prepared
from Training.weights import restore_weights, save_weights

RECORD = "pipeline.json"
UNFINISHED = 3
"""The exit status of a call that ended before the bundle was complete."""


@dataclass(frozen=True)
class Stage:
    """One command of the pipeline.

    `phase` is the folder of the phase that it trains, or empty; `rests_on` the phases whose weights its outcome depends on, by folder.
    """

    name: str
    command: tuple[str, ...]
    phase: str = ""
    rests_on: tuple[str, ...] = ()


def stages(configuration: Configuration, config: Path, data: Path, run: Path, output: Path | None) -> Iterator[Stage]:
    """All stages that a configuration asks for, in the order in which they are run.

    Args:
        configuration: as read from `config`.
        data: folder of the data set.
        run: the run folder.
        output: the bundle's folder; None = train only.
    """
    given = ("--config", str(config), "--run", str(run))
    phases = configuration.phases

    def phase(name: str, fold: int | None = None) -> Stage:
        more = () if fold is None else ("--fold", str(fold), "--seed", str(fold + 1))
        folder = phase_folder(name, fold)
        return Stage(folder, (f"Training.{name}", *given, *more), folder)

    yield Stage("prepare", ("Training.prepare", *given, "--data", str(data)))
    if any(one.bias_corrected for one in phases.values()):
        yield Stage("bias_corrected", ("Training.bias_corrected", *given, "--data", str(data)))
    for name in ("autoencoder", "decoder", "diffusion", "conditioning"):
        if name in phases:
            yield phase(name)
    if "conditioning" in phases and configuration.folds:
        heads = [phase("conditioning", fold) for fold in range(len(configuration.folds))]
        yield from heads
        yield Stage("out_of_fold", ("Training.out_of_fold", *given), rests_on=tuple(head.phase for head in heads))
    for name in ("controlnet", "distillation"):
        if name in phases:
            yield phase(name)
    if output is not None:
        trained = tuple(phases)
        bundle = ("--bundle", str(output))
        mode = ("--default-mode", "fast") if "distillation" in phases else ()
        yield Stage("assemble", ("Training.assemble", *given, "--output", str(output), "--overwrite", *mode), rests_on=trained)
        yield Stage("calibration", ("Training.calibration", *given[:2], *bundle, "--data", str(data)), rests_on=trained)
        yield Stage("plausibility", ("Training.plausibility", *given, *bundle), rests_on=trained)
        yield Stage("shape_odds", ("Training.shape_odds", *given, *bundle), rests_on=trained)


class Record:
    """Which stages that train nothing are finished, and for which weights: `pipeline.json` in the run folder."""

    def __init__(self, configuration: Configuration, run: Path) -> None:
        self._configuration, self._run, self._path = configuration, run, run / RECORD

    def finished(self, stage: Stage) -> bool:
        """Whether a stage need not be run: its phase has all its steps, or it was run for the weights that are there now."""
        if stage.phase:
            done, begun_for = trained_steps(self._run, stage.phase)
            wanted = self._configuration.phases[stage.phase.split("_without_")[0]].steps
            return done > 0 and done >= (wanted or begun_for)
        if stage.name == "prepare":
            return prepared(self._configuration, self._run)
        return self._read().get(stage.name) == self._weights(stage)

    def finish(self, stage: Stage) -> None:
        """Remember that a stage that trains nothing has been run."""
        if stage.phase or stage.name == "prepare":
            return
        write_text(self._path, json.dumps({**self._read(), stage.name: self._weights(stage)}, indent=1))

    def _weights(self, stage: Stage) -> dict[str, int]:
        return {phase: trained_steps(self._run, phase)[0] for phase in stage.rests_on}

    def _read(self) -> dict[str, dict[str, int]]:
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}


def run_stages(
    todo: list[Stage],
    record: Record,
    execute: Callable[[tuple[str, ...]], int],
    minutes: float,
    finished: Callable[[Stage], None],
) -> Stage | None:
    """Run what is not finished, in order, until the time is up.

    Args:
        todo: all stages.
        record: knows which are finished.
        execute: runs a command, (module, arguments...), and returns its exit status.
        minutes: for all of it; a phase is told how many are left, another stage is only begun while some are.
        finished: told of each phase that is finished, also those that were before.

    Returns:
        The stage that is to go on next; None when all are finished.
    """
    deadline = time.monotonic() + minutes * 60
    for stage in todo:
        if not record.finished(stage):
            left = (deadline - time.monotonic()) / 60
            if left <= 0:
                return stage
            timed = ("--max-minutes", f"{left:.2f}") if stage.phase and minutes < float("inf") else ()
            print("$ python -m " + " ".join((*stage.command, *timed)), flush=True)
            if execute((*stage.command, *timed)):
                return stage
            record.finish(stage)
            if not record.finished(stage):  # its time was up, or a signal stopped it
                return stage
        if stage.phase:
            finished(stage)
    return None


def execute(command: tuple[str, ...]) -> int:
    """Run a module of this package as `python -m` would, in this process; its exit status."""
    before, sys.argv = sys.argv, list(command)
    sys.modules.pop(command[0], None)  # runpy warns of a module that something else has imported
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return 0


def main() -> None:
    """The command line."""
    command = parser(__doc__, "config", "data", "run")
    command.add_argument("--output", type=Path, help="the bundle's folder; without it the phases are trained and no bundle is written")
    command.add_argument("--minutes", type=float, default=float("inf"), help="stop (resumably) after this long")
    command.add_argument("--weights", type=Path, metavar="FOLDER", help="keep finished phases here in half precision, and restore them")
    arguments = command.parse_args()
    with one_sentence():
        configuration = read_configuration(arguments.config)
        arguments.run.mkdir(parents=True, exist_ok=True)
        if arguments.weights is not None and (restored := restore_weights(arguments.weights, arguments.run)):
            print(f"restored from {arguments.weights}: {', '.join(restored)}", flush=True)

        def keep(stage: Stage) -> None:
            if arguments.weights is not None and not (arguments.weights / f"{stage.phase}.safetensors").exists():
                save_weights(arguments.run, stage.phase, arguments.weights)

        todo = list(stages(configuration, arguments.config, arguments.data, arguments.run, arguments.output))
        stopped = run_stages(todo, Record(configuration, arguments.run), execute, arguments.minutes, keep)
    if stopped is not None:
        print(f"not finished: {stopped.name} goes on when the same command is run again", flush=True)
        raise SystemExit(UNFINISHED)
    print("all stages are finished", flush=True)


if __name__ == "__main__":
    main()
