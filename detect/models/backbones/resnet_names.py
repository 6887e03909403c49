"""Converting the names of ResNet tensors, as detectron2 and Caffe2 have them, to torchvision's.

detectron2's converted networks have ``res2.0.conv1.norm.weight``; MSRA's files, from which its detectors are trained,
have Caffe2's ``res2_0_branch2a_bn_gamma``. Other names stay as they are.
"""

from __future__ import annotations

import re

CAFFE2 = (  # pattern of the full Caffe2 name -> detectron2's name
    (r"conv1_w", "stem.conv1.weight"),
    (r"res_conv1_bn_(\w+)", r"stem.conv1.norm.\1"),
    (r"(res\d)_(\d+)_branch1_w", r"\1.\2.shortcut.weight"),
    (r"(res\d)_(\d+)_branch1_bn_(\w+)", r"\1.\2.shortcut.norm.\3"),
    *((rf"(res\d)_(\d+)_branch2{letter}_w", rf"\1.\2.conv{n}.weight") for n, letter in enumerate("abc", 1)),
    *((rf"(res\d)_(\d+)_branch2{letter}_bn_(\w+)", rf"\1.\2.conv{n}.norm.\3") for n, letter in enumerate("abc", 1)),
)
STATISTICS = {"gamma": "weight", "beta": "bias"}
STAGE = re.compile(r"res([2-5])\.")


def to_torchvision_name(name: str) -> str:
    """Return torchvision's name of a ResNet tensor, of detectron2's or Caffe2's name; any other name is unchanged."""
    for pattern, detectron2_name in CAFFE2:
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, detectron2_name, name)
            above, _, last = name.rpartition(".")
            name = f"{above}.{STATISTICS.get(last, last)}"
            break
    if not name.startswith("stem.conv1.") and STAGE.match(name) is None:
        return name
    name = STAGE.sub(lambda match: f"layer{int(match[1]) - 1}.", name.removeprefix("stem."), count=1)
    name = re.sub(r"conv(\d)\.norm\.", r"bn\1.", name)
    return name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
