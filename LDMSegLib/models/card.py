"""What a bundle says about itself to people and to MONAI: the standard metadata, a README, a licence note."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

from LDMSegLib.specification import Specification

RESEARCH = "Research use only, not a medical device."
REQUIRED = ("einops", "safetensors", "nibabel", "scipy")
PAPER = "Latent ControlNet diffusion for tumour segmentation with an ensemble: see the citation in the LDMSeg repository."


def standard_metadata(specification: Specification, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """MONAI's standard metadata of a bundle. What is `given` takes the place of what would be said by default."""
    names = ", ".join(specification.sequence_names)
    regions = ", ".join(specification.region_names)
    metadata: dict[str, Any] = {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "first version"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": {name: _version(name) for name in REQUIRED if _version(name)},
        "task": specification.title,
        "description": (
            f"Latent diffusion with a ControlNet: samples an ensemble of segmentations ({regions}) from MRI ({names}), "
            f"and from it probability and variance. {RESEARCH}"
        ),
        "authors": "LDMSeg contributors",
        "copyright": "LDMSeg contributors",
        "data_source": "; ".join(specification.training_data) or "not stated",
        "data_type": "nifti",
        "intended_use": RESEARCH,
        "references": [PAPER],
        "network_data_format": _data_format(specification),
    }
    metadata.update(given or {})
    return metadata


def default_readme(specification: Specification) -> str:
    """A README that says no more than the specification does."""
    s = specification
    modes = [
        f"- `{name}`{' (default)' if name == s.default_mode else ''}: {m.title or m.sampler}, {m.members} members × {m.steps} steps"
        + (f", {m.views} views" if m.views > 1 else "")
        + (f", {m.direct:.0%} direct (attenuation {m.attenuation:g})" if m.direct else "")
        for name, m in s.modes.items()
    ]
    return "\n".join(
        [
            f"# {s.title}",
            "",
            f"**{RESEARCH}**",
            "",
            "Reads: " + ", ".join(f"{q.name} ({q.title}{'' if q.required else ', may be missing'})" for q in s.sequences) + ".",
            "",
            "Finds: " + ", ".join(f"{r.name} ({r.title})" for r in s.regions) + ".",
            "",
            f"Works on a grid of {'×'.join(map(str, s.grid.shape))} voxels of {'×'.join(f'{v:g}' for v in s.grid.spacing)} mm.",
            "",
            "## Ways to sample",
            "",
            *modes,
            "",
            "## Trained on",
            "",
            *([f"- {line}" for line in s.training_data] or ["Not stated."]),
            "",
            "## Use",
            "",
            "```",
            "ldmseg models verify <this folder>",
            "ldmseg segment CASE_FOLDER -o out/ --bundle <this folder>",
            "```",
            "",
        ]
    )


def default_license() -> str:
    """The licence of the code, by name: whoever ships weights states more where the training data ask for it."""
    licence = "Apache-2.0 (https://www.apache.org/licenses/LICENSE-2.0)"
    return f"{licence}\n\nThe training data named in configs/metadata.json have their own terms.\n"


def _data_format(s: Specification) -> dict[str, Any]:
    low, high = (
        (-1.0, 1.0)
        if s.intensity.method == "percentile"
        else (s.intensity.lower / s.intensity.scale, s.intensity.upper / s.intensity.scale)
    )
    common = {"type": "image", "spatial_shape": list(s.grid.shape), "dtype": "float32", "is_patch_data": False}
    image = {
        **common,
        "format": "magnitude",
        "modality": "MR",
        "num_channels": len(s.sequences),
        "value_range": [low, high],
        "channel_def": {str(i): q.name for i, q in enumerate(s.sequences)},
    }
    prediction = {
        **common,
        "format": "classes",
        "num_channels": len(s.regions),
        "value_range": [0, 1],
        "channel_def": {str(i): r.name for i, r in enumerate(s.regions)},
    }
    return {"inputs": {"image": image}, "outputs": {"pred": prediction}}


def _version(package: str) -> str:
    """Without the local part: "2.13.0+cpu" is 2.13.0 to whoever has to install it."""
    try:
        return installed(package).split("+")[0]
    except PackageNotFoundError:
        return ""
