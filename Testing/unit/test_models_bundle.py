"""A bundle is read, verified, loaded and saved; whatever is wrong with it is said in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bundle import built

from LDMSegLib.errors import BundleError, OutputError
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.models import bundle as bundles
from LDMSegLib.models.bundle import find_bundle, list_bundles, load_networks, read_bundle, save_bundle, verify
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

CONFIGURATIONS = {
    "autoencoder": {
        "_target_": "monai.networks.nets.AutoencoderKL",
        "spatial_dims": 3,
        "in_channels": 2,
        "out_channels": 2,
        "channels": [4, 8],
        "latent_channels": 2,
        "num_res_blocks": 1,
        "attention_levels": [False, False],
        "norm_num_groups": 4,
        "with_encoder_nonlocal_attn": False,
        "with_decoder_nonlocal_attn": False,
    },
    "unet": {
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
    },
    "controlnet": {
        "_target_": "monai.networks.nets.ControlNet",
        "spatial_dims": 3,
        "in_channels": 2,
        "channels": [8, 16],
        "num_res_blocks": 1,
        "attention_levels": [False, True],
        "num_head_channels": [0, 8],
        "norm_num_groups": 4,
        "include_fc": False,
    },
    "conditioning": {
        "_target_": "monai.networks.nets.controlnet.ControlNetConditioningEmbedding",
        "spatial_dims": 3,
        "in_channels": 3,
        "out_channels": 8,
        "channels": [4, 8],
    },
}

SPECIFICATION = Specification(
    name="tiny",
    title="Tiny lesions",
    sequences=(Sequence("a", "Sequence A"), Sequence("b", "Sequence B"), Sequence("c", "Sequence C")),
    reference="a",
    labels=(Label("CORE", 1, "Core", (255, 0, 0)), Label("RIM", 2, "Rim", (0, 255, 0))),
    regions=(Region("ALL", "All of it", ("CORE", "RIM"), (1, 2, 3)), Region("IN", "The core", ("CORE",), (4, 5, 6))),
    grid=Grid((2.0, 2.0, 2.0), (8, 8, 8), 4),
    intensity=Intensity("zscore", -5.0, 5.0, 5.0),
    latent=Latent(2, 2, 0.7, (0.1, -0.2)),
    schedule=Schedule(1000, "scaled_linear", 0.0015, 0.0195, "epsilon"),
    modes={"fast": Mode("dpm", 8, 10), "synthesis": Mode("dpm", 8, 1, controlnet=None)},
    default_mode="fast",
    weights=Weights("models/model.safetensors", ""),
)


def tiny_networks(seed: int = 0) -> dict[str, torch.nn.Module]:
    """The networks with every parameter away from zero: MONAI starts some at 0, where mistakes would not show."""
    torch.manual_seed(seed)
    networks = built(CONFIGURATIONS)
    for network in networks.values():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return networks


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(folder, SPECIFICATION, CONFIGURATIONS, tiny_networks())
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


@pytest.fixture
def places(tmp_path, monkeypatch) -> dict[str, Path]:
    """Nothing embedded, nothing of this machine's user: three empty places in which bundles are looked for."""
    found = {name: tmp_path / "places" / name for name in ("embedded", "environment")}
    for folder in found.values():
        folder.mkdir(parents=True)
    home = tmp_path / "home"
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("LDMSEG_BUNDLES", str(found["environment"]))
    monkeypatch.setattr(bundles, "EMBEDDED", found["embedded"])
    return {**found, "user": bundles.user_folder()}


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite_weights(folder: Path, change) -> None:
    """Change the tensors and make the hash right again, so that only the fit is wrong."""
    file = folder / "models/model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    edit(folder / "configs/metadata.json", lambda m: m["ldmseg"]["weights"].update(sha256=file_sha256(file)))


def assert_one_sentence(error: pytest.ExceptionInfo, *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert ";" in message or ":" in message, f"says nothing of what to do: {message}"
    for part in parts:
        assert part in message


def test_a_saved_bundle_reads_back_as_it_was(saved):
    bundle = read_bundle(saved)

    assert replace(bundle.specification, weights=SPECIFICATION.weights) == SPECIFICATION
    assert bundle.configurations == CONFIGURATIONS
    assert bundle.specification.weights == Weights("models/model.safetensors", file_sha256(saved / "models/model.safetensors"))
    assert {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()} == {
        "configs/metadata.json",
        "configs/inference.json",
        "models/model.safetensors",
        "docs/README.md",
        "LICENSE",
    }


def test_the_metadata_hold_what_monai_asks_for(saved):
    metadata = read_bundle(saved).metadata

    for key in ("version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"):
        assert metadata[key]
    for key in ("task", "description", "authors", "copyright", "data_source", "data_type", "intended_use", "references"):
        assert metadata[key]
    image = metadata["network_data_format"]["inputs"]["image"]
    assert (image["num_channels"], image["spatial_shape"], image["value_range"]) == (3, [8, 8, 8], [-1.0, 1.0])
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "ALL", "1": "IN"}


def test_given_metadata_and_documents_take_the_place_of_the_defaults(tmp_path):
    documents = {"LICENSE": "mine\n", "docs/data_license.txt": "theirs\n"}
    bundle = save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, tiny_networks(), metadata={"version": "2.5"}, documents=documents)

    assert bundle.version == "2.5"
    assert (tmp_path / "b/LICENSE").read_text() == "mine\n"
    assert (tmp_path / "b/docs/data_license.txt").read_text() == "theirs\n"
    assert "Tiny lesions" in (tmp_path / "b/docs/README.md").read_text()


def test_loaded_networks_compute_what_the_saved_ones_did(tmp_path):
    networks = tiny_networks()
    bundle = save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, networks, fp16=False)
    loaded = load_networks(bundle)
    x, t, mri = torch.randn(1, 2, 4, 4, 4), torch.tensor([300]), torch.randn(1, 3, 8, 8, 8)

    with torch.no_grad():
        results = []
        for n in (networks, loaded):
            down, middle = n["controlnet"].eval()(x, t, n["conditioning"](mri))
            noise = n["unet"].eval()(x, t, down_block_additional_residuals=down, mid_block_additional_residual=middle)
            results.append((noise, n["autoencoder"].eval().decode(x)))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][0].std() > 0.01
    assert not any(n.training for n in loaded.values())


def test_weights_stored_in_half_are_loaded_in_single(saved):
    stored = load_file(saved / "models/model.safetensors")
    loaded = load_networks(read_bundle(saved))

    assert {t.dtype for t in stored.values()} == {torch.float16}
    for name, network in loaded.items():
        for key, value in network.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, stored[f"{name}.{key}"].float())
    assert {p.dtype for p in load_networks(read_bundle(saved), dtype=torch.bfloat16)["unet"].parameters()} == {torch.bfloat16}


def test_a_weight_beyond_half_precision_keeps_its_value(tmp_path):
    networks = tiny_networks()
    networks["unet"].conv_in.conv.bias.data[0] = 1e6
    loaded = load_networks(save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, networks))

    assert loaded["unet"].conv_in.conv.bias[0] == 1e6


def test_only_the_networks_asked_for_are_loaded(saved):
    assert set(load_networks(read_bundle(saved), names=["unet"])) == {"unet"}
    with pytest.raises(BundleError) as error:
        load_networks(read_bundle(saved), names=["gan"])
    assert_one_sentence(error, "'gan'", "unet")


def test_loaded_weights_do_not_depend_on_the_file_any_more(copy):
    unet = load_networks(read_bundle(copy), dtype=torch.float16, names=["unet"])["unet"]
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    file = copy / "models/model.safetensors"
    with open(file, "r+b") as stream:
        stream.write(bytes(file.stat().st_size))

    assert all(torch.equal(value, before[key]) for key, value in unet.state_dict().items())


def test_equal_weights_give_an_equal_hash(saved, tmp_path):
    again = save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, {n: m.state_dict() for n, m in tiny_networks().items()})
    other = save_bundle(tmp_path / "c", SPECIFICATION, CONFIGURATIONS, tiny_networks(seed=1))

    assert again.specification.weights == read_bundle(saved).specification.weights
    assert other.specification.weights != again.specification.weights


def test_verify_counts_the_parameters(saved):
    counted = {name: sum(p.numel() for p in network.parameters()) for name, network in tiny_networks().items()}

    assert verify(read_bundle(saved)) == counted


def test_reading_finding_and_listing_bundles_does_not_import_torch(saved):
    code = (
        "import sys; from LDMSegLib.models.bundle import find_bundle, list_bundles, read_bundle;"
        f"read_bundle({str(saved)!r}); find_bundle('tiny'); assert any(b.name == 'tiny' for b in list_bundles());"
        "assert not {'torch', 'monai', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    environment = {**os.environ, "LDMSEG_BUNDLES": str(saved.parent), "PYTHONPATH": str(Path(bundles.__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("models/model.pt", "pickle"),
        ("models/model.CKPT", "pickle"),
        ("models/model.bin", "pickle"),
        ("models/model.npz", ".safetensors"),
        ("../model.safetensors", "outside"),
        ("models/../../model.safetensors", "outside"),
        ("/etc/model.safetensors", "outside"),
        ("C:\\models\\model.safetensors", "outside"),
        ("\\\\server\\share\\model.safetensors", "outside"),
        ("..\\model.safetensors", "outside"),
    ],
)
def test_a_weights_file_that_may_run_code_or_leaves_the_bundle_is_refused(copy, file, part):
    edit(copy / "configs/metadata.json", lambda m: m["ldmseg"]["weights"].update(file=file))

    with pytest.raises(BundleError) as error:
        read_bundle(copy)
    assert_one_sentence(error, part)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
@pytest.mark.parametrize("linked", ["models", "models/model.safetensors", "configs/inference.json"])
def test_a_link_that_leaves_the_bundle_is_refused(copy, tmp_path, linked):
    outside = tmp_path / "elsewhere"
    (copy / linked).rename(outside)
    (copy / linked).symlink_to(outside)

    with pytest.raises(BundleError) as error:
        load_networks(read_bundle(copy))
    assert_one_sentence(error, "outside")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_bundle_may_itself_be_reached_through_a_link(saved, tmp_path):
    (tmp_path / "link").symlink_to(saved, target_is_directory=True)

    assert verify(read_bundle(tmp_path / "link"))


class Malice:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_renamed_safetensors_is_refused_and_not_opened(copy, tmp_path, writer):
    file, mark = copy / "models/model.safetensors", tmp_path / "mark"
    with open(file, "wb") as stream:
        (torch.save if writer == "torch" else pickle.dump)({"unet.weight": Malice(mark)}, stream)
    edit(copy / "configs/metadata.json", lambda m: m["ldmseg"]["weights"].update(sha256=file_sha256(file)))

    for use in (verify, load_networks):
        with pytest.raises(BundleError) as error:
            use(read_bundle(copy))
        assert_one_sentence(error, "pickle under another name")
    assert not mark.exists()


@pytest.mark.parametrize("use", [verify, load_networks])
def test_one_changed_byte_is_noticed(copy, use):
    file = copy / "models/model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    with pytest.raises(BundleError) as error:
        use(read_bundle(copy))
    assert_one_sentence(error, "SHA-256", "again")


def test_a_truncated_file_is_refused_even_with_its_own_hash(copy):
    file = copy / "models/model.safetensors"
    for size in (0, 5, 200, file.stat().st_size - 10):
        file.write_bytes(file.read_bytes()[:size] if size else b"")
        edit(copy / "configs/metadata.json", lambda m: m["ldmseg"]["weights"].update(sha256=file_sha256(file)))
        with pytest.raises(BundleError) as error:
            verify(read_bundle(copy))
        assert_one_sentence(error, "safetensors")


def test_missing_weights_are_said_to_be_missing(copy):
    (copy / "models/model.safetensors").unlink()

    with pytest.raises(BundleError) as error:
        verify(read_bundle(copy))
    assert_one_sentence(error, "no weights file")


@pytest.mark.parametrize("use", [verify, load_networks])
@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: t.pop("unet.conv_in.conv.bias"), ("lack", "conv_in.conv.bias", "unet")),
        (lambda t: t.update({"unet.extra": torch.zeros(1)}), ("no place", "extra", "unet")),
        (lambda t: t.update({"gan.weight": torch.zeros(1)}), ("none of its networks", "gan.weight")),
        (lambda t: t.update({"unet": torch.zeros(1)}), ("none of its networks", "'unet'")),
        (lambda t: t.update({"unet.conv_in.conv.bias": torch.zeros(9)}), ("(9,)", "(8,)")),
    ],
)
def test_weights_that_do_not_fit_exactly_are_refused(copy, use, change, parts):
    rewrite_weights(copy, change)

    with pytest.raises(BundleError) as error:
        use(read_bundle(copy))
    assert_one_sentence(error, *parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda c: c["unet"].update(channels=[16, 32]), ("shape",)),
        (lambda c: c["unet"].update(_target_="os.system"), ("os.system",)),
        (lambda c: c["unet"].update(norm_num_groups=0), ("unet",)),
        (lambda c: c["unet"].update(channels="many"), ("DiffusionModelUNet",)),
        (lambda c: c["unet"].update(surprise=1), ("surprise",)),
    ],
)
def test_a_configuration_that_builds_something_else_is_refused(copy, change, parts):
    edit(copy / "configs/inference.json", change)

    with pytest.raises(BundleError) as error:
        verify(read_bundle(copy))
    assert_one_sentence(error, *parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda c: c.pop("unet"), ("'unet'", "mode")),
        (lambda c: c.pop("autoencoder"), ("'autoencoder'",)),
        (lambda c: c.pop("conditioning"), ("'conditioning'",)),
        (lambda c: c["autoencoder"].update(latent_channels=3), ("latent_channels = 3", "expected 2")),
        (lambda c: c["conditioning"].update(in_channels=4), ("in_channels = 4", "3", "sequences")),
        (lambda c: c.update({"a.b": {"_target_": "x"}}), ("'a.b'",)),
        (lambda c: c.update(device="cpu"), ("'device'",)),
    ],
)
def test_networks_and_specification_must_speak_of_the_same_thing(copy, change, parts):
    edit(copy / "configs/inference.json", change)

    with pytest.raises(BundleError) as error:
        read_bundle(copy)
    assert_one_sentence(error, *parts)


@pytest.mark.parametrize("file", ["configs/metadata.json", "configs/inference.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00", b"[" * 100_000])
def test_unreadable_json_is_one_sentence(copy, file, content):
    (copy / file).write_bytes(content)

    with pytest.raises(BundleError) as error:
        read_bundle(copy)
    assert_one_sentence(error, file.split("/")[1])


def test_a_bundle_made_for_another_program_is_said_to_be_foreign(copy):
    edit(copy / "configs/metadata.json", lambda m: m.pop("ldmseg"))

    with pytest.raises(BundleError) as error:
        read_bundle(copy)
    assert_one_sentence(error, "another program")


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bundle.zip").write_bytes(b"PK")
    for path in ("empty", "bundle.zip", "absent"):
        with pytest.raises(BundleError) as error:
            read_bundle(tmp_path / path)
        assert_one_sentence(error, path, "folder")


def test_the_default_is_the_embedded_bundle_that_the_embedded_folder_names(saved, places):
    for name in ("one", "two"):
        shutil.copytree(saved, places["embedded"] / name)
    with pytest.raises(BundleError) as error:
        find_bundle()
    assert_one_sentence(error, "--bundle")

    (places["embedded"] / "DEFAULT").write_text("two\n")
    assert find_bundle().folder == places["embedded"] / "two"
    assert [(b.name, b.default) for b in list_bundles()] == [("one", False), ("two", True)]


def test_a_name_is_looked_up_embedded_first_then_in_the_environment_then_at_the_users(saved, places):
    for place in ("user", "environment", "embedded"):
        shutil.copytree(saved, places[place] / "tiny")
        assert find_bundle("tiny").folder == places[place] / "tiny"
    assert [b.origin for b in list_bundles()] == ["embedded", "environment", "user"]


def test_the_environment_may_name_several_folders_and_bundles_themselves(saved, places, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / "many" / "x")
    shutil.copytree(saved, tmp_path / "y")
    monkeypatch.setenv("LDMSEG_BUNDLES", os.pathsep.join(map(str, (tmp_path / "many", tmp_path / "y", tmp_path / "absent"))))

    assert [b.name for b in list_bundles()] == ["x", "y"]
    assert find_bundle("y").folder == tmp_path / "y"


def test_a_bundle_is_found_by_its_path(saved, places, monkeypatch):
    monkeypatch.chdir(saved.parent)

    assert find_bundle(saved).name == "tiny"
    assert find_bundle("./tiny").name == "tiny"
    assert find_bundle("tiny").name == "tiny"


def test_an_unknown_name_is_answered_with_the_names_there_are(saved, places):
    shutil.copytree(saved, places["user"] / "tiny")

    with pytest.raises(BundleError) as error:
        find_bundle("tinny")
    assert_one_sentence(error, "'tinny'", "installed: tiny")
    with pytest.raises(BundleError):
        find_bundle("no/such/folder")


def test_a_damaged_bundle_is_listed_with_its_problem(saved, places):
    shutil.copytree(saved, places["user"] / "good")
    broken = Path(shutil.copytree(saved, places["user"] / "broken"))
    (broken / "configs/inference.json").unlink()
    shutil.copytree(saved, places["user"] / ".good.abc.partial")

    listed = {b.name: b for b in list_bundles()}
    assert set(listed) == {"good", "broken"}
    assert listed["good"].bundle is not None and listed["good"].problem is None
    assert listed["broken"].bundle is None and "inference.json" in listed["broken"].problem


def test_saving_refuses_a_folder_that_is_there_unless_told(saved, copy):
    before = (copy / "models/model.safetensors").read_bytes()
    with pytest.raises(OutputError) as error:
        save_bundle(copy, SPECIFICATION, CONFIGURATIONS, tiny_networks(seed=1))
    assert_one_sentence(error, "already exists")
    assert (copy / "models/model.safetensors").read_bytes() == before

    replaced = save_bundle(copy, SPECIFICATION, CONFIGURATIONS, tiny_networks(seed=1), overwrite=True)
    assert verify(replaced)
    assert replaced.weights.read_bytes() != before
    assert [p.name for p in copy.parent.iterdir()] == ["tiny"]


def test_a_save_that_fails_leaves_nothing_and_keeps_what_was_there(copy, monkeypatch):
    before = file_sha256(copy / "models/model.safetensors")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundles, "_write_json", full)
    with pytest.raises(OutputError) as error:
        save_bundle(copy, SPECIFICATION, CONFIGURATIONS, tiny_networks(seed=1), overwrite=True)
    assert_one_sentence(error, "no space left")
    assert file_sha256(copy / "models/model.safetensors") == before
    assert [p.name for p in copy.parent.iterdir()] == ["tiny"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError) as error:
        save_bundle(tmp_path / "file" / "bundle", SPECIFICATION, CONFIGURATIONS, tiny_networks())
    assert_one_sentence(error, "cannot be written")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda n: n.pop("unet"), "every network"),
        (lambda n: n.update(unet=torch.nn.Linear(1, 1)), "lack"),
        (lambda n: n["unet"].conv_in.conv.bias.data.fill_(float("nan")), "NaN"),
    ],
)
def test_saving_refuses_networks_that_would_not_load(tmp_path, change, part):
    networks = tiny_networks()
    change(networks)

    with pytest.raises(BundleError) as error:
        save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, networks)
    assert_one_sentence(error, part)
    assert not list(tmp_path.iterdir())


def test_saving_refuses_a_document_outside_the_bundle(tmp_path):
    with pytest.raises(BundleError) as error:
        save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, tiny_networks(), documents={"../evil.txt": ""})
    assert_one_sentence(error, "outside")
    assert not list(tmp_path.iterdir())


def test_tied_and_transposed_weights_are_saved_as_values(tmp_path):
    states = {name: network.state_dict() for name, network in tiny_networks().items()}
    state = states["unet"]
    state["time_embed.2.weight"] = state["time_embed.2.weight"].T
    state["time_embed.0.bias"] = state["time_embed.2.bias"]
    loaded = load_networks(save_bundle(tmp_path / "b", SPECIFICATION, CONFIGURATIONS, states, fp16=False))["unet"].state_dict()

    assert torch.equal(loaded["time_embed.2.weight"], state["time_embed.2.weight"])
    assert torch.equal(loaded["time_embed.0.bias"], loaded["time_embed.2.bias"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_a_saved_bundle_is_as_readable_as_its_folder(saved):
    weights = saved / "models" / "model.safetensors"
    assert weights.stat().st_mode & 0o444 == weights.parent.stat().st_mode & 0o444
