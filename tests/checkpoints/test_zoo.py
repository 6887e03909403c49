"""Published detectors by name: downloaded once, checked by the digits in their names, read as any model."""

from __future__ import annotations

import hashlib
import re
import urllib.error
from pathlib import Path

import pytest

from detect.checkpoints import zoo
from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.torchvision_configs import PUBLISHED
from detect.checkpoints.zoo import ZOO, download_verified, read_model
from detect.config import Config
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from tests.conftest import Command

R50 = "detectron2/faster_rcnn_R_50_FPN_1x"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty folder for downloads, and no network."""

    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    return tmp_path / "checkpoints"


def test_zoo_entries_of_torchvision_agree_with_its_weight_enumerations() -> None:
    rows = {name.removeprefix("torchvision/"): entry for name, entry in ZOO.items() if name.startswith("torchvision/")}
    assert rows.keys() == PUBLISHED.keys()
    for name, entry in rows.items():
        weights = PUBLISHED[name]
        metrics = weights.meta["_metrics"]["COCO-val2017"]
        assert (entry.url, entry.ap, entry.mask_ap) == (weights.url, metrics["box_map"], metrics.get("mask_map"))


def test_zoo_addresses_of_detectron2_contain_a_run_id_and_digits() -> None:
    addresses = [entry.url for name, entry in ZOO.items() if name.startswith("detectron2/")]
    assert len(set(addresses)) == len(addresses) == 19
    for address in addresses:
        assert re.search(r"/\w+_rcnn_R_\w+/\d{9}/model_final_[0-9a-f]{6}\.pkl$", address)


@pytest.mark.parametrize("name", ["torchvision/fasterrcnn_resnet50_fpn", R50])
def test_predict_without_network_names_the_address_and_the_folder(
    name: str, hub: Path, detect_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    status, _, err = detect_command("predict", name, tmp_path / "a.jpg", "--out", tmp_path / "found")
    file = ZOO[name].url.rsplit("/", 1)[-1]
    assert status == 2
    assert re.search(rf"could not fetch {ZOO[name].url} .*no route.*put {file} into {hub}", err)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/fasterrcnn_resnet50", r"found none \(did you mean \"torchvision/fasterrcnn_resnet50_fpn\"\?"),
        ("detectron2/faster_rcnn_R_50_FPN", "expected a name that `detect model zoo` lists, found none"),
        ("somewhere/else", "expected a run folder or a checkpoint, found nothing"),
    ],
)
def test_read_model_names_a_mistyped_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_model(Path(name))


def test_download_verified_refuses_a_file_with_another_md5(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.mkdir()
    file = hub / "model_final_b275ba.pkl"
    file.write_bytes(b"another")
    with pytest.raises(UserError, match=rf"{file}: expected an MD5 that begins with b275ba, found b32d73e5"):
        download_verified(R50)
    digits = hashlib.md5(b"another", usedforsecurity=False).hexdigest()[:6]
    monkeypatch.setitem(ZOO, R50, zoo.PublishedModel(f"https://a/model_final_{digits}.pkl", 1.0, ""))
    file.rename(hub / f"model_final_{digits}.pkl")
    assert download_verified(R50).read_bytes() == b"another"


def test_read_model_prefers_a_folder_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / R50).mkdir(parents=True)
    with pytest.raises(UserError, match=r"expected a run folder with best.pt"):
        read_model(Path(R50))


def test_read_model_returns_the_checkpoint_of_a_name(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(Config(), ("cat",), Preprocess(), {}, 0, {})
    checkpoints = {"fasterrcnn_resnet50_fpn_v2": checkpoint}
    monkeypatch.setattr(zoo, "import_torchvision", checkpoints.__getitem__)
    loaded, file = read_model(Path("torchvision/fasterrcnn_resnet50_fpn_v2"))
    assert loaded is checkpoint
    assert file == hub / "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"


def test_zoo_command_prints_name_ap_and_address_of_each_entry(detect_command: Command) -> None:
    status, out, _ = detect_command("model", "zoo")
    assert status == 0
    lines = out.splitlines()
    for name, entry in ZOO.items():
        (line,) = [line for line in lines if f" {name} " in line]
        assert f" {entry.ap:.1f} " in line
        assert entry.url in line
        assert entry.license in line
