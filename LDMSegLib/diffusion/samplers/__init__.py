"""Ways from noise to data, one a file, and the one place that chooses among them."""

from __future__ import annotations

from LDMSegLib.diffusion.samplers.ddim import Ddim
from LDMSegLib.diffusion.samplers.ddpm import Ddpm
from LDMSegLib.diffusion.samplers.dpmpp_2m import DpmSolverPlusPlus2M
from LDMSegLib.diffusion.samplers.protocol import Sampler, Step
from LDMSegLib.diffusion.samplers.timesteps import checked, trailing
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import BundleError
from LDMSegLib.specification import Mode

__all__ = ["SAMPLERS", "Sampler", "Step", "make_sampler"]

SAMPLERS = {"ddpm": Ddpm, "dpmpp_2m": DpmSolverPlusPlus2M, "ddim": Ddim, "distilled": Ddim}


def make_sampler(mode: Mode, schedule: NoiseSchedule) -> Sampler:
    """The sampler a mode names, at the mode's own timesteps or else at `mode.steps` trailing ones.

    Raises:
        BundleError: the sampler is unknown, the number of steps is impossible, or a distilled mode has no timesteps.
    """
    if mode.sampler not in SAMPLERS:
        raise BundleError(
            f"the bundle's sampling mode asks for sampler '{mode.sampler}', expected one of {', '.join(SAMPLERS)}; "
            "update LDMSeg or choose another mode"
        )
    if not 1 <= mode.steps <= schedule.steps:
        raise BundleError(
            f"the sampling mode has {mode.steps} steps, expected 1 to {schedule.steps}; choose a number of steps in that range"
        )
    if mode.timesteps and len(mode.timesteps) != mode.steps:
        raise BundleError(
            f"the sampling mode has {mode.steps} steps but fixes {len(mode.timesteps)} timesteps {mode.timesteps}; "
            "leave its number of steps as the bundle has it"
        )
    if mode.sampler == "distilled" and not mode.timesteps:
        raise BundleError(
            "the bundle's distilled sampling mode does not say at which timesteps its network was trained, expected a list of them; "
            "choose another mode"
        )
    timesteps = checked(mode.timesteps, schedule.steps) if mode.timesteps else trailing(schedule.steps, mode.steps)
    return SAMPLERS[mode.sampler](schedule, timesteps)
