"""The ensemble: N members sampled in batches that fit the memory, decoded one at a time, handed over and forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from LDMSegLib.diffusion.effort import Effort
from LDMSegLib.diffusion.memory import OutOfMemory, noticing_out_of_memory, release, synchronize
from LDMSegLib.diffusion.noise import BatchNoise
from LDMSegLib.diffusion.samplers.protocol import Sampler
from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.events import Cancellation, Reporter, Silent

Denoise = Callable[[Tensor, Tensor], Tensor]
Decode = Callable[[Tensor], Tensor]
DenoiserOf = Callable[[range], Denoise]
OnMember = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class EnsembleRun:
    """What became of a run. `batch_size_used` is what it came down to; times are wall seconds, those of decoding with `on_member`'s."""

    requested: int
    finished: int
    batch_size_used: int
    sampling_seconds: float
    decoding_seconds: float

    @property
    def partial(self) -> bool:
        """Whether the run was stopped before all members were finished."""
        return self.finished < self.requested


def run_ensemble(
    denoise: Denoise | None,
    decode: Decode,
    sampler: Sampler,
    latent_shape: Sequence[int],
    members: int,
    seed: int,
    batch_size: int,
    on_member: OnMember,
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
    device: torch.device | str = "cpu",
    first_member: int = 0,
    denoiser_of: DenoiserOf | None = None,
) -> EnsembleRun:
    """Sample members first_member ... first_member + members - 1 of a seed, in order.

    Member i of a seed starts from the same noise and gets the same noise at every step whatever the batch size, the device
    and the members beside it; its result then differs only by the rounding of the networks' arithmetic.

    When memory runs out, the batch is halved and the members not yet handed over are sampled again, with a warning. The
    batch stays small for the rest of the run.

    Args:
        denoise: (x_t (n, C, x, y, z) float32, t (n,) int64), both on `device`, to the network's output, any float dtype; None where
            `denoiser_of` is given.
        decode: a clean latent (1, C, x, y, z) float32 to the probabilities (R, X, Y, Z).
        sampler: see `samplers.make_sampler`.
        latent_shape: (C, x, y, z).
        members: how many, at least 1.
        seed: 0 or more.
        batch_size: how many to sample at once at most, at least 1.
        on_member: consumes (member index, probabilities (R, X, Y, Z) float32 on the device where `decode` left them). It may
            keep or change them; the loop keeps nothing, so memory does not grow with the number of members.
        reporter: hears progress(fraction, member=k, members=N, step=s, steps=S), k counting from 1 within this run.
        cancellation: read between steps and between decodes. What is finished has been handed over; the run is then partial,
            and it is for the caller to say what a run with no member at all means.
        device: where the latents live.
        first_member: index of the first member, to continue a set or to repeat one member alone.
        denoiser_of: the members of one batch to their `denoise`, where they are not all steered by the same.

    Raises:
        InputError: a count or the seed is impossible, or one member alone does not fit the memory.
        BundleError: the networks gave values that are not numbers.
    """
    for name, count in (("number of members", members), ("batch size", batch_size)):
        if count < 1:
            raise InputError(f"the {name} is {count}, expected at least 1; choose another")
    loop = _Loop(
        denoiser_of=denoiser_of or (lambda members: denoise),
        decode=decode,
        sampler=sampler,
        latent_shape=tuple(latent_shape),
        members=members,
        first_member=first_member,
        seed=seed,
        on_member=on_member,
        reporter=reporter or Silent(),
        cancellation=cancellation or Cancellation(),
        device=torch.device(device),
        effort=Effort(members, len(sampler.timesteps)),
    )
    size = min(batch_size, members)
    while loop.finished < members and not loop.cancellation.requested:
        attempted = min(size, members - loop.finished)
        if loop.attempt(attempted):
            continue
        release(loop.device)
        if attempted == 1:
            raise InputError(_does_not_fit(loop.device))
        size = attempted // 2
        loop.reporter.warning(f"memory ran out with {attempted} members at a time; going on with {size}", batch_size=size)
    return EnsembleRun(members, loop.finished, size, loop.sampling_seconds, loop.decoding_seconds)


@dataclass
class _Loop:
    """A run under way."""

    denoiser_of: DenoiserOf
    decode: Decode
    sampler: Sampler
    latent_shape: tuple[int, ...]
    members: int
    first_member: int
    seed: int
    on_member: OnMember
    reporter: Reporter
    cancellation: Cancellation
    device: torch.device
    effort: Effort
    finished: int = 0
    sampling_seconds: float = 0.0
    decoding_seconds: float = 0.0

    def attempt(self, count: int) -> bool:
        """Sample and hand over the next members, or those before a cancellation; False where memory ran out on the way."""
        first = self.first_member + self.finished
        try:
            with noticing_out_of_memory():
                latents = self._sampled(range(first, first + count))
            for index, latent in enumerate(latents):
                if self.cancellation.requested:
                    break
                start = time.monotonic()
                with noticing_out_of_memory():
                    probabilities = self._decoded(latent, first + index)
                # outside the guard: a member must never be handed over twice because its consumer had no memory
                self.on_member(first + index, probabilities)
                del probabilities
                self._delivered(time.monotonic() - start)
        except OutOfMemory:
            self.effort.lost()
            return False
        return True

    @torch.inference_mode()
    def _sampled(self, members: range) -> tuple[Tensor, ...]:
        """Clean latents (1, C, x, y, z) of these members; none after a cancellation."""
        denoise = self.denoiser_of(members)
        noise = BatchNoise(self.seed, members, self.latent_shape, self.device)
        x, memory = noise.draw(), None
        for index, timestep in enumerate(self.sampler.timesteps):
            if self.cancellation.requested:
                return ()
            start = time.monotonic()
            output = denoise(x, torch.full((len(members),), timestep, dtype=torch.int64, device=self.device))
            # drawn after the network was launched: a GPU works meanwhile
            fresh = noise.draw() if self.sampler.needs_noise(index) else None
            x, memory = self.sampler.step(output, x, index, memory, fresh)
            synchronize(self.device)
            seconds = time.monotonic() - start
            self.sampling_seconds += seconds
            self.effort.stepped(len(members), seconds)
            self._report(step=index + 1)
        return x.split(1)

    def _decoded(self, latent: Tensor, member: int) -> Tensor:
        with torch.inference_mode():
            self._require_finite(latent, member)
            probabilities = self.decode(latent)
            self._require_finite(probabilities, member)
        # a copy outside inference mode: its consumer may change it in place
        with torch.inference_mode(False):
            return probabilities.to(torch.float32, copy=True)

    def _delivered(self, seconds: float) -> None:
        self.finished += 1
        self.decoding_seconds += seconds
        self.effort.delivered(seconds)
        self._report(step=len(self.sampler.timesteps), member=self.finished)

    def _report(self, step: int, member: int | None = None) -> None:
        self.reporter.progress(
            self.effort.fraction,
            member=member or self.finished + 1,
            members=self.members,
            step=step,
            steps=len(self.sampler.timesteps),
        )

    def _require_finite(self, values: Tensor, member: int) -> None:
        # one infinite or undefined value makes the sum so, without an array of flags
        if not torch.isfinite(values.sum(dtype=torch.float32)):
            raise BundleError(
                f"the bundle's networks gave values that are not numbers in member {member} on {self.device}, expected finite ones; "
                "choose another device or another bundle"
            )


def _does_not_fit(device: torch.device) -> str:
    advice = "close other programs or use" if device.type == "cpu" else "close other programs that use it, choose the CPU as device, or use"
    return f"one member of the ensemble needs more memory than the {device.type.upper()} has free; {advice} a bundle with a smaller grid"
