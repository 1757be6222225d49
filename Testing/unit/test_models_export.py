"""An exported bundle is one that monai.bundle itself can parse, build and load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import monai.bundle
import pytest
import torch
from monai.bundle import ConfigParser
from tiny_bundle import built

from LDMSegLib.errors import BundleError, OutputError
from LDMSegLib.models.bundle import load_networks, read_bundle, save_bundle
from LDMSegLib.models.export import export_monai
from LDMSegLib.specification import (
    Grid,
    Intensity,
    Label,
    Latent,
    Mode,
    Region,
    Schedule,
    Sequence,
    Specification,
    Weights,
)

UNET = {
    "_target_": "monai.networks.nets.DiffusionModelUNet",
    "spatial_dims": 3,
    "in_channels": 2,
    "out_channels": 2,
    "channels": [8, 16],
    "num_res_blocks": 1,
    "attention_levels": [False, True],
    "num_head_channels": [0, 8],
    "norm_num_groups": 4,
    "include_fc": False,
}
CONFIGURATIONS = {
    "autoencoder": {
        "_target_": "monai.networks.nets.AutoencoderKL",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 1,
        "channels": [4, 8],
        "latent_channels": 2,
        "num_res_blocks": 1,
        "attention_levels": [False, False],
        "norm_num_groups": 4,
        "with_encoder_nonlocal_attn": False,
        "with_decoder_nonlocal_attn": False,
    },
    "unet": UNET,
    "controlnet": {key: value for key, value in UNET.items() if key != "out_channels"} | {"_target_": "monai.networks.nets.ControlNet"},
}
STRIDED = {
    "_target_": "monai.networks.nets.controlnet.ControlNetConditioningEmbedding",
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": 8,
    "channels": [4, 8],
}
ENCODER = {
    "_target_": "LDMSegLib.models.conditioning.ConditioningEncoder",
    "in_channels": 3,
    "regions": 1,
    "out_channels": 8,
    "downsampling": 2,
    "init_filters": 8,
    "blocks_down": [1, 1],
    "blocks_up": [1],
}
SPECIFICATION = Specification(
    name="tiny",
    title="Tiny lesions",
    sequences=tuple(Sequence(name, f"Sequence {name}") for name in "abc"),
    reference="a",
    labels=(Label("CORE", 1, "Core", (255, 0, 0)),),
    regions=(Region("IN", "The core", ("CORE",), (4, 5, 6)),),
    grid=Grid((2.0, 2.0, 2.0), (8, 8, 8), 4),
    intensity=Intensity("percentile", 0.0, 99.5),
    latent=Latent(2, 2, 0.7, (0.1, -0.2)),
    schedule=Schedule(1000, "scaled_linear", 0.0015, 0.0195, "v"),
    modes={"fast": Mode("dpm", 8, 10)},
    default_mode="fast",
    weights=Weights("models/model.safetensors", ""),
)
# The keys that the MONAI bundle specification calls mandatory.
MANDATORY = {
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}


# monai.bundle warns of every configuration that it parses, which is what these tests are for.
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


def saved(folder: Path, conditioning: dict, **further: dict):
    configurations = {**CONFIGURATIONS, "conditioning": conditioning, **further}
    torch.manual_seed(0)
    networks = built(configurations)
    for network in networks.values():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return save_bundle(folder, SPECIFICATION, configurations, networks)


@pytest.fixture(scope="module")
def strided(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strided")
    bundle = saved(folder / "tiny", STRIDED)
    return bundle, export_monai(bundle, folder / "exported")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    bundle = saved(folder / "tiny", ENCODER, controlnet_fast=CONFIGURATIONS["controlnet"])
    return bundle, export_monai(bundle, folder / "exported")


def parsed(folder: Path) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(folder / "configs/inference.json")
    parser.read_meta(folder / "configs/metadata.json")
    parser["bundle_root"] = str(folder)
    parser.get_parsed_content("load_weights")
    return parser


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 2, 4, 4, 4, generator=generator), torch.tensor([300]), torch.randn(1, 3, 8, 8, 8, generator=generator)


def assert_equal(ours, theirs) -> None:
    assert ours.std() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@torch.no_grad()
def test_networks_that_monai_builds_and_loads_compute_what_ours_do(strided):
    bundle, folder = strided
    ours, parser = load_networks(bundle), parsed(folder)
    x, t, mri = inputs()
    theirs = {name: parser.get_parsed_content(name).eval() for name in ("autoencoder", "unet", "controlnet")}

    assert_equal(ours["autoencoder"].decode(x), theirs["autoencoder"].decode(x))
    down, middle = ours["controlnet"](x, t, ours["conditioning"](mri))
    their_down, their_middle = theirs["controlnet"](x, t, mri)
    for a, b in zip([*down, middle], [*their_down, their_middle], strict=True):
        assert_equal(a, b)
    assert_equal(
        ours["unet"](x, t, down_block_additional_residuals=down, mid_block_additional_residual=middle),
        theirs["unet"](x, t, down_block_additional_residuals=their_down, mid_block_additional_residual=their_middle),
    )


@torch.no_grad()
def test_another_conditioning_network_is_exported_beside_the_controlnets(encoder):
    bundle, folder = encoder
    ours, parser = load_networks(bundle), parsed(folder)
    x, t, mri = inputs()
    embedding = ours["conditioning"](mri)
    their_embedding = parser.get_parsed_content("conditioning").eval()(mri)

    assert_equal(embedding, their_embedding)
    for name in ("controlnet", "controlnet_fast"):
        down, middle = ours[name](x, t, embedding)
        their_down, their_middle = parser.get_parsed_content(name).eval()(x, t, their_embedding)
        for a, b in zip([*down, middle], [*their_down, their_middle], strict=True):
            assert_equal(a, b)


@pytest.mark.parametrize("kind", ["strided", "encoder"])
def test_monai_bundle_load_gives_the_unet_with_its_weights(kind, request):
    bundle, folder = request.getfixturevalue(kind)
    unet = load_networks(bundle, names=["unet"])["unet"].state_dict()
    loaded = monai.bundle.load(folder.name, bundle_dir=folder.parent, workflow_type="inference", device="cpu")

    assert loaded.state_dict().keys() == unet.keys()
    assert all(torch.equal(value, unet[key]) for key, value in loaded.state_dict().items())


def test_monai_bundle_load_fills_any_of_the_networks(strided):
    bundle, folder = strided
    ours = load_networks(bundle)
    model = ConfigParser(json.loads((folder / "configs/inference.json").read_text())).get_parsed_content("controlnet")
    loaded = monai.bundle.load(folder.name, model=model, bundle_dir=folder.parent, model_file="models/model_controlnet.pt", device="cpu")

    expected = {**ours["controlnet"].state_dict()}
    expected |= {f"controlnet_cond_embedding.{key}": value for key, value in ours["conditioning"].state_dict().items()}
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_the_readmes_python_runs_as_written_and_without_ldmseglib(strided):
    _, folder = strided
    readme = (folder / "docs/README.md").read_text()
    code = "import sys; sys.modules['LDMSegLib'] = None\n" + readme.split("```python\n")[1].split("```")[0]
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)

    assert "LDMSegLib is not needed" in readme
    assert result.returncode == 0, result.stderr


def test_the_readme_says_when_ldmseglib_must_be_importable(encoder):
    _, folder = encoder

    assert "LDMSegLib must be importable" in (folder / "docs/README.md").read_text()


@pytest.mark.parametrize("kind", ["strided", "encoder"])
def test_the_metadata_hold_monais_mandatory_keys_in_the_form_it_describes(kind, request):
    bundle, folder = request.getfixturevalue(kind)
    parser = parsed(folder)

    assert set(parser["_meta_"]) >= MANDATORY
    for group, name, channels in (("inputs", "image", 3), ("outputs", "pred", 1)):
        described = parser[f"_meta_::network_data_format::{group}::{name}"]
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def"} <= set(described)
        assert described["num_channels"] == channels == len(described["channel_def"])
    assert (folder / "LICENSE").read_bytes() == (bundle.folder / "LICENSE").read_bytes()


def test_the_scheduler_is_the_bundles_and_does_not_clip(strided):
    _, folder = strided
    scheduler = parsed(folder).get_parsed_content("noise_scheduler")

    assert (scheduler.num_train_timesteps, scheduler.clip_sample, scheduler.prediction_type) == (1000, False, "v_prediction")
    assert scheduler.betas[0] == pytest.approx(0.0015) and scheduler.betas[-1] == pytest.approx(0.0195)


def test_an_export_is_not_taken_for_one_of_our_bundles(strided):
    _, folder = strided

    with pytest.raises(BundleError, match="export for MONAI"):
        read_bundle(folder)


def test_exporting_leaves_the_bundle_alone_and_refuses_to_overwrite(strided, tmp_path):
    bundle, _ = strided
    before = {p: p.read_bytes() for p in bundle.folder.rglob("*") if p.is_file()}
    (tmp_path / "there").mkdir()

    with pytest.raises(OutputError, match="already exists"):
        export_monai(bundle, tmp_path / "there")
    export_monai(bundle, tmp_path / "there", overwrite=True)
    assert {p: p.read_bytes() for p in bundle.folder.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_damaged_bundle_is_not_exported(tmp_path):
    bundle = saved(tmp_path / "tiny", STRIDED)
    data = bytearray(bundle.weights.read_bytes())
    data[-1] ^= 1
    bundle.weights.write_bytes(data)

    with pytest.raises(BundleError, match="SHA-256"):
        export_monai(bundle, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
