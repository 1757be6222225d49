"""What a bundle says about itself: sequences, labels, regions, grid, latent space, schedule, sampling modes.

Plain frozen values without torch. Everything that is about gliomas, four sequences or three regions lives in a
bundle's metadata and reaches the code through these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from LDMSegLib.errors import BundleError

FORMAT = 1


@dataclass(frozen=True)
class Sequence:
    """One MRI sequence the model reads, in channel order.

    `aliases` are further names under which files carry it, compared without case and punctuation.
    `required` is False where the model was trained to do without it.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Label:
    """One integer of the label map. `conventions` maps another convention's name to the integer it uses.

    `terminology` holds a coded concept, e.g. {"scheme": "SCT", "code": "...", "meaning": "..."}.
    """

    name: str
    value: int
    title: str
    color: tuple[int, int, int]
    conventions: Mapping[str, int] = field(default_factory=dict)
    terminology: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Region:
    """One channel of the model's output: the union of some labels."""

    name: str
    title: str
    labels: tuple[str, ...]
    color: tuple[int, int, int]
    terminology: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """The model's voxel grid: `spacing` in mm, `shape` in voxels along R, A, S; every size divides by `multiple`.

    `centre` is where its middle lies in `space`, RAS in mm, when there is no image to place it on; empty = the origin.
    """

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    multiple: int
    space: str = "SRI24"
    centre: tuple[float, ...] = ()


@dataclass(frozen=True)
class Intensity:
    """How voxel values are brought to the network's range, over the foreground (non-zero voxels) of each sequence.

    `zscore`: (x - mean) / SD, clipped to [lower, upper], divided by `scale`; background is 0.
    `percentile`: [lower, upper] percentiles go to [-1, 1] linearly, clipped; background is -1.
    """

    method: str
    lower: float
    upper: float
    scale: float = 1.0


@dataclass(frozen=True)
class Latent:
    """The autoencoder's latent space: z_model = (z - shift) * scale, per channel for `shift`."""

    channels: int
    downsampling: int
    scale: float
    shift: tuple[float, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """The forward process of Ho et al. 2020 (arXiv:2006.11239): T steps of noise and what the network predicts."""

    steps: int
    kind: str
    beta_start: float
    beta_end: float
    prediction: str
    zero_terminal_snr: bool = False


@dataclass(frozen=True)
class Mode:
    """One way to sample: which sampler, how many steps, how many members by default, which networks.

    `timesteps` fixes the training timesteps a distilled network was trained at (else they are spaced by the sampler).
    `views`, 1 to 8, in how many ways the members look at the MRI (see `LDMSegLib.inference.tta`).
    `direct`, from 0 to below 1, is the share of each member that is the conditioning network's own answer (see
    `LDMSegLib.inference.ensemble`).
    `attenuation`, above 0 and at most 1, says how far the members of a view agree on that answer; 1 = it is the same for all, the smaller
    the more the members differ (see `LDMSegLib.inference.intercepts`).
    """

    sampler: str
    steps: int
    members: int
    title: str = ""
    unet: str = "unet"
    controlnet: str | None = "controlnet"
    timesteps: tuple[int, ...] = ()
    views: int = 1
    direct: float = 0.0
    attenuation: float = 1.0


@dataclass(frozen=True)
class Weights:
    """A weights file inside the bundle and its SHA-256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Calibration:
    """Per region: probability = sigmoid(slope * logit(p) + offset), fitted on training cases. Empty = identity."""

    slope: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both inside."""

    low: float
    high: float


@dataclass(frozen=True)
class Plausibility:
    """What is usual in cases like those the model has learnt from: name of a measure (see `postprocessing.out_of_distribution`) → range.

    What has no range is not checked; empty = no check at all.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Term:
    """What one statistic of a shape adds to a sum: `weight` * (value - `mean`)."""

    mean: float
    weight: float


@dataclass(frozen=True)
class ShapeOdds:
    """How much likelier a shape is among real masks than among drawn ones (see `LDMSegLib.synthesis.shape_prior`).

    `terms`: statistic of `synthesis.shapes` → what it adds to the log odds; empty = every shape is as good.
    `highest`: log odds from which on a mask is always kept.
    `kept`: share of the draws that was kept when this was learnt, of those that lay in the brain.
    """

    terms: Mapping[str, Term] = field(default_factory=dict)
    highest: float = 0.0
    kept: float = 1.0


@dataclass(frozen=True)
class Specification:
    """All of the above, for one bundle."""

    name: str
    title: str
    sequences: tuple[Sequence, ...]
    reference: str
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    grid: Grid
    intensity: Intensity
    latent: Latent
    schedule: Schedule
    modes: Mapping[str, Mode]
    default_mode: str
    weights: Weights
    threshold: float = 0.5
    min_component_mm3: float = 0.0
    calibration: Calibration = Calibration()
    plausibility: Plausibility = Plausibility()
    shape_odds: ShapeOdds = ShapeOdds()
    synthesis_mode: str = "synthesis"
    training_data: tuple[str, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise BundleError(
                f"the metadata of bundle '{self.name}' is inconsistent: {problems[0]}; use a bundle whose metadata is complete"
            )

    @property
    def sequence_names(self) -> tuple[str, ...]:
        """In the order of the networks' channels."""
        return tuple(s.name for s in self.sequences)

    @property
    def region_names(self) -> tuple[str, ...]:
        """In the order of the networks' channels."""
        return tuple(r.name for r in self.regions)

    def label(self, name: str) -> Label:
        """The label of that name."""
        return next(label for label in self.labels if label.name == name)

    @property
    def image_modes(self) -> tuple[str, ...]:
        """Names of the modes that sample for an image: those that are steered by a ControlNet."""
        return tuple(name for name, mode in self.modes.items() if mode.controlnet)

    def image_mode(self, name: str | None = None) -> Mode:
        """The named mode that samples for an image, the bundle's default without a name.

        Raises:
            BundleError: There is no such mode, or it samples without an image.
        """
        mode = self.mode(name)
        if not mode.controlnet:
            raise BundleError(
                f"mode '{name or self.default_mode}' of bundle '{self.name}' samples without an image, expected one of "
                f"{', '.join(self.image_modes)}; choose it with --mode, or draw synthetic masks with ldmseg synthesize"
            )
        return mode

    def mode(self, name: str | None = None) -> Mode:
        """The named sampling mode, the bundle's default without a name. Raises BundleError naming the modes there are."""
        name = name or self.default_mode
        if name not in self.modes:
            raise BundleError(f"bundle '{self.name}' has no mode '{name}'; it has {', '.join(self.modes)}: choose one of these with --mode")
        return self.modes[name]


def nesting(regions: tuple[Region, ...]) -> tuple[tuple[int, int], ...]:
    """(inner, outer) channel pairs where the inner region's labels are a proper subset of the outer's, outermost first.

    Capping p[inner] at p[outer] pair by pair in this order makes all channels nested.
    """
    sets = [frozenset(region.labels) for region in regions]
    pairs = [(i, o) for i, a in enumerate(sets) for o, b in enumerate(sets) if a < b]
    return tuple(sorted(pairs, key=lambda pair: (-len(sets[pair[0]]), -len(sets[pair[1]]))))


def from_dict(cls: type, data: Any, where: str = "ldmseg") -> Any:
    """Build a specification class from parsed JSON, strictly.

    Raises BundleError naming the key when one is missing, unknown or of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise BundleError(f"the bundle metadata entry '{where}' is {type(data).__name__}, expected an object; use an undamaged bundle")
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}
    for key in data:
        if key not in known:
            raise BundleError(
                f"the bundle metadata entry '{where}.{key}' is not known to this version; update LDMSeg or use another bundle"
            )
    values = {}
    for name, value in data.items():
        values[name] = _value(hints[name], value, f"{where}.{name}")
    try:
        return cls(**values)
    except TypeError as error:
        raise BundleError(f"the bundle metadata entry '{where}' is incomplete ({error}); use an undamaged bundle") from None


def to_dict(value: Any) -> Any:
    """The JSON form that `from_dict` reads back to an equal value."""
    if is_dataclass(value):
        return {f.name: to_dict(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    return value


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return from_dict(hint, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise BundleError(f"the bundle metadata entry '{where}' is {value!r}, expected a list; use an undamaged bundle")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise BundleError(f"the bundle metadata entry '{where}' has {len(value)} values, expected {len(args)}; use an undamaged bundle")
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and issubclass(origin if isinstance(origin, type) else object, Mapping):
        if not isinstance(value, Mapping):
            raise BundleError(f"the bundle metadata entry '{where}' is {value!r}, expected an object; use an undamaged bundle")
        return {str(key): _value(args[1], item, f"{where}.{key}") for key, item in value.items()}
    allowed = args if args else (hint,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        names = " or ".join(getattr(a, "__name__", str(a)) for a in allowed)
        raise BundleError(f"the bundle metadata entry '{where}' is {value!r}, expected {names}; use an undamaged bundle")
    return value


def _problems(s: Specification) -> list[str]:
    found = []
    if s.format != FORMAT:
        found.append(f"format {s.format}, this version reads format {FORMAT}")
    names = s.sequence_names
    if len(set(names)) != len(names) or not names:
        found.append(f"sequence names {names} are not unique")
    if s.reference not in names:
        found.append(f"reference sequence '{s.reference}' is not one of {names}")
    labels = [label.name for label in s.labels]
    values = [label.value for label in s.labels]
    if len(set(labels)) != len(labels) or len(set(values)) != len(values) or min(values, default=1) < 1:
        found.append("label names and positive values must be unique")
    for region in s.regions:
        missing = set(region.labels) - set(labels)
        if missing:
            found.append(f"region {region.name} names unknown labels {sorted(missing)}")
    if any(n % s.grid.multiple for n in s.grid.shape):
        found.append(f"grid shape {s.grid.shape} does not divide by {s.grid.multiple}")
    if len(s.grid.centre) not in (0, 3):
        found.append(f"grid centre {s.grid.centre} is no point")
    if s.intensity.method not in ("zscore", "percentile"):
        found.append(f"intensity method '{s.intensity.method}' is neither zscore nor percentile")
    if s.latent.shift and len(s.latent.shift) != s.latent.channels:
        found.append(f"{len(s.latent.shift)} latent shifts for {s.latent.channels} latent channels")
    if s.default_mode not in s.modes:
        found.append(f"default mode '{s.default_mode}' is not one of {tuple(s.modes)}")
    for name, mode in s.modes.items():
        if not 1 <= mode.views <= 8:
            found.append(f"mode '{name}' has {mode.views} views, expected 1 to 8")
        if not 0.0 <= mode.direct < 1.0:
            found.append(f"mode '{name}' has a direct share of {mode.direct:g}, expected 0 to below 1")
        if not 0.0 < mode.attenuation <= 1.0:
            found.append(f"mode '{name}' has an attenuation of {mode.attenuation:g}, expected above 0 and at most 1")
    found.extend(
        f"{len(values)} calibration values for {len(s.regions)} regions"
        for values in (s.calibration.slope, s.calibration.offset)
        if values and len(values) != len(s.regions)
    )
    if not 0.0 < s.shape_odds.kept <= 1.0:
        found.append(f"a share of {s.shape_odds.kept:g} of the draws kept, expected above 0 and at most 1")
    if any(slope <= 0.0 for slope in s.calibration.slope):
        found.append(f"calibration slopes {s.calibration.slope} are not positive")
    return found
