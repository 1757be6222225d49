"""A converted network computes what the original one of monai-generative does."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_bundle import built

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.models.convert import convert_checkpoint, convert_state

generative = pytest.importorskip("generative.networks.nets", reason="monai-generative is the oracle here")

AUTOENCODER = dict(
    spatial_dims=3,
    in_channels=2,
    out_channels=2,
    num_channels=(8, 16),
    latent_channels=3,
    num_res_blocks=(1, 2),
    attention_levels=(False, False),
    norm_num_groups=4,
    with_encoder_nonlocal_attn=False,
    with_decoder_nonlocal_attn=False,
)
UNET = dict(
    spatial_dims=3,
    in_channels=2,
    out_channels=3,
    num_channels=(8, 16),
    num_res_blocks=1,
    attention_levels=(False, True),
    num_head_channels=(0, 8),
    norm_num_groups=4,
)
CROSS = dict(with_conditioning=True, cross_attention_dim=5, transformer_num_layers=2, num_head_channels=(4, 8))
CONTROLNET = {name: value for name, value in UNET.items() if name != "out_channels"} | dict(
    conditioning_embedding_in_channels=4, conditioning_embedding_num_channels=(8, 12)
)


def original(cls: type, arguments: dict, seed: int = 0) -> torch.nn.Module:
    """With every parameter away from zero and from one, and attention that is far from even: so that mistakes show."""
    torch.manual_seed(seed)
    network = cls(**arguments).double().eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.3)
        else:
            sharp = 3.0 if "to_q" in name or "to_k" in name else 1.0
            torch.nn.init.normal_(parameter, std=sharp / parameter[0].numel() ** 0.5)
    return network


def converted(network: torch.nn.Module, kind: str, arguments: dict) -> dict[str, torch.nn.Module]:
    result = convert_state(network.state_dict(), kind, arguments)
    networks = built(result.configurations)
    for name, new in networks.items():
        new.double().load_state_dict(result.states[name], strict=True)
        new.eval()
    return networks


def assert_close(old: torch.Tensor, new: torch.Tensor) -> None:
    assert old.std() > 1e-2, "an output of zeros would agree with anything"
    # In double precision two orders of summation differ by far less than any mistake does.
    assert old.dtype == new.dtype == torch.float64
    assert (old - new).abs().max() <= 1e-9


def inputs(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, timesteps, an image twice as large, and a context."""
    generator = torch.Generator().manual_seed(seed)
    x, image, context = (torch.randn(*s, generator=generator).double() for s in ((2, 2, 4, 6, 4), (2, 4, 8, 12, 8), (2, 3, 5)))
    return x, torch.tensor([7, 800]), image, context


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention_levels": (False, True)},
        {"with_encoder_nonlocal_attn": True, "with_decoder_nonlocal_attn": True},
        {"attention_levels": (True, True), "with_decoder_nonlocal_attn": True, "num_res_blocks": 2},
        {"num_channels": (8, 8, 16), "attention_levels": (False, False, True), "num_res_blocks": 1, "use_checkpointing": False},
        {"norm_num_groups": 8},
    ],
)
@torch.no_grad()
def test_a_converted_autoencoder_encodes_and_decodes_as_the_original(change):
    arguments = AUTOENCODER | change
    old = original(generative.AutoencoderKL, arguments)
    new = converted(old, "autoencoder", arguments)["autoencoder"]
    x = inputs()[2][:, :2]

    for a, b in zip(old.encode(x), new.encode(x), strict=True):
        assert_close(a, b)
    z = old.encode(x)[0]
    assert_close(old.decode(z), new.decode(z))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention_levels": (False, False)},
        {"attention_levels": (True, True), "num_head_channels": (4, 4)},
        {"num_head_channels": 2, "num_res_blocks": (1, 2)},
        {"resblock_updown": True},
        {"num_class_embeds": 3},
        {"include_fc": True},
        {"use_flash_attention": True},
        CROSS,
        CROSS | {"attention_levels": (True, True), "dropout_cattn": 0.3},
    ],
)
@torch.no_grad()
def test_a_converted_unet_predicts_as_the_original(change):
    arguments = UNET | change
    # include_fc is MONAI's alone, and the original's flash attention asks for a GPU to say the same thing.
    old = original(generative.DiffusionModelUNet, {k: v for k, v in arguments.items() if k not in ("include_fc", "use_flash_attention")})
    new = converted(old, "unet", arguments)["unet"]
    x, t, _, context = inputs()
    further = {"class_labels": torch.tensor([0, 2])} if "num_class_embeds" in arguments else {}
    if arguments.get("with_conditioning"):
        further["context"] = context

    assert_close(old(x, t, **further), new(x, t, **further))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention_levels": (False, False)},
        {"attention_levels": (True, True), "num_head_channels": 4},
        {"num_channels": (8, 8, 16), "attention_levels": (False, False, True), "num_head_channels": 8, "num_res_blocks": (1, 2, 1)},
        {"resblock_updown": True, "num_class_embeds": 3},
        {"conditioning_embedding_num_channels": (4, 8)},
        CROSS,
        CROSS | {"attention_levels": (True, True)},
    ],
)
@torch.no_grad()
def test_a_converted_controlnet_and_its_embedding_answer_as_the_original(change):
    arguments = CONTROLNET | change
    old = original(generative.ControlNet, arguments)
    new = converted(old, "controlnet", arguments)
    x, t, image, context = inputs()
    further = {"class_labels": torch.tensor([0, 2])} if "num_class_embeds" in arguments else {}
    if arguments.get("with_conditioning"):
        further["context"] = context

    assert set(new) == {"controlnet", "conditioning"}
    old_down, old_middle = old(x, t, image, **further)
    new_down, new_middle = new["controlnet"](x, t, new["conditioning"](image), **further)
    assert len(old_down) == len(new_down)
    for a, b in zip([*old_down, old_middle], [*new_down, new_middle], strict=True):
        assert_close(a, b)


@torch.no_grad()
def test_another_head_size_would_fit_and_compute_something_else():
    old = original(generative.DiffusionModelUNet, UNET)
    new = converted(old, "unet", UNET | {"num_head_channels": (0, 4)})["unet"]
    x, t, *_ = inputs()

    assert (old(x, t) - new(x, t)).abs().max() > 1e-2


@pytest.mark.parametrize(("kind", "arguments"), [("autoencoder", AUTOENCODER), ("unet", UNET), ("controlnet", CONTROLNET)])
def test_what_the_weights_do_not_tell_must_be_given(kind, arguments):
    for name in ("norm_num_groups", "num_head_channels"):
        if name in arguments:
            with pytest.raises(BundleError, match=f"'{name}'.*missing; give"):
                convert_state({}, kind, {k: v for k, v in arguments.items() if k != name})


def test_transposed_convolutions_are_said_to_be_impossible():
    old = original(generative.AutoencoderKL, AUTOENCODER | {"use_convtranspose": True})

    with pytest.raises(BundleError, match="use_convtranspose cannot be converted"):
        convert_state(old.state_dict(), "autoencoder", AUTOENCODER | {"use_convtranspose": True})


def test_the_callers_state_dict_is_neither_changed_nor_shared():
    arguments = AUTOENCODER | {"attention_levels": (False, True)}
    state = original(generative.AutoencoderKL, arguments).state_dict()
    names, values = list(state), {key: value.clone() for key, value in state.items()}
    result = convert_state(state, "autoencoder", arguments)
    for value in result.states["autoencoder"].values():
        value.add_(1)

    assert list(state) == names
    assert all(torch.equal(state[key], values[key]) for key in names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv_in.conv.bias"), "lacks 'conv_in.conv.bias'"),
        (lambda s: s.pop("middle_block.attention.to_q.weight"), "lacks 'middle_block.attention.to_q.weight'"),
        (lambda s: s.update(extra=torch.zeros(1)), "'extra'.*no place"),
        (lambda s: s.update({"conv_in.proj_attn.weight": torch.zeros(1)}), "proj_attn.*no place"),
        (lambda s: s.update({"conv_in.conv.bias": torch.zeros(9)}), r"\(9,\).*\(8,\)"),
        (lambda s: s.update({"middle_block.attention.attn.to_q.weight": torch.zeros(1)}), "needs no conversion"),
    ],
)
def test_a_state_dict_that_does_not_fit_exactly_is_refused(change, message):
    state = dict(original(generative.DiffusionModelUNet, UNET).state_dict())
    change(state)

    with pytest.raises(BundleError, match=message):
        convert_state(state, "unet", UNET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (UNET | {"attention_levels": (True, True), "num_head_channels": 8}, "lacks"),
        (UNET | {"num_channels": (16, 16)}, "shape"),
        (UNET | {"num_channels": 8}, "list"),
        (UNET | {"surprise": 1}, "surprise"),
        (UNET | {"use_combined_linear": True}, "use_combined_linear"),
        (UNET | CROSS | {"include_fc": False}, "include_fc"),
    ],
)
def test_arguments_that_describe_another_network_are_refused(arguments, message):
    with pytest.raises(BundleError, match=message):
        convert_state(original(generative.DiffusionModelUNet, UNET).state_dict(), "unet", arguments)


def test_an_unknown_kind_is_refused():
    with pytest.raises(BundleError, match="'gan'"):
        convert_state({}, "gan", UNET)


@pytest.mark.parametrize("form", ["plain", "wrapped", "parallel", "safetensors"])
def test_a_checkpoint_is_read_in_the_forms_people_save(tmp_path, form):
    state = original(generative.DiffusionModelUNet, UNET).state_dict()
    path = tmp_path / ("unet.safetensors" if form == "safetensors" else "unet.pt")
    if form == "plain":
        torch.save(state, path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 0.1}}, path)
    elif form == "parallel":
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    else:
        save_file(state, path)
    expected = convert_state(state, "unet", UNET)
    result = convert_checkpoint(path, "unet", UNET)

    assert result.configurations == expected.configurations
    assert all(torch.equal(value, expected.states["unet"][key]) for key, value in result.states["unet"].items())


def test_of_several_state_dicts_the_key_chooses(tmp_path):
    state = original(generative.DiffusionModelUNet, UNET).state_dict()
    torch.save({"model": {"w": torch.zeros(1)}, "ema": state}, tmp_path / "c.pt")

    with pytest.raises(InputError, match="2 state dicts.*model, ema"):
        convert_checkpoint(tmp_path / "c.pt", "unet", UNET)
    with pytest.raises(InputError, match="'net'.*model, ema"):
        convert_checkpoint(tmp_path / "c.pt", "unet", UNET, key="net")
    assert "unet" in convert_checkpoint(tmp_path / "c.pt", "unet", UNET, key="ema").states


class Malice:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(tmp_path):
    torch.save({"w": torch.zeros(1), "x": Malice(tmp_path / "mark")}, tmp_path / "c.pt")

    with pytest.raises(InputError, match="more than tensors.*; save"):
        convert_checkpoint(tmp_path / "c.pt", "unet", UNET)
    assert not (tmp_path / "mark").exists()


def test_a_checkpoint_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00")
    with open(tmp_path / "list.pt", "wb") as stream:
        torch.save([1, 2], stream)
    with open(tmp_path / "plain.pkl", "wb") as stream:
        pickle.dump({"a": 1}, stream, protocol=2)
    for name in ("absent.pt", "empty.pt", "text.pt", "cut.safetensors", "list.pt", "plain.pkl"):
        with pytest.raises(InputError) as error:
            convert_checkpoint(tmp_path / name, "unet", UNET)
        assert name in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(InputError, match="a folder"):
        convert_checkpoint(tmp_path, "unet", UNET)
