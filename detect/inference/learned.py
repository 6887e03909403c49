"""The proposals of an RPN in a file, for Fast R-CNN to train on (Faster R-CNN, section 3.2, step 2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.evaluation.predictions import below_shared_folder
from detect.inference.rpn_proposals import ModelProposals
from detect.proposals.files import ProposalFile, pack_proposals, write_proposals
from detect.proposals.search_dataset import photo_key
from detect.system.progress import Display
from detect.types import Proposals


def write_learned(proposed: Sequence[ModelProposals], out: Path, display: Display) -> ProposalFile:
    """Write what an RPN proposes for the photos of several splits, each photo once; photos that cannot be read are left
    out. ``Display`` advances by photos.
    """
    found: dict[str, Proposals] = {}
    for split in proposed:
        for index, proposals in split.readable():
            found.setdefault(split.annotations.file(index), proposals)
            display.advance(1)
    names = below_shared_folder(list(found))
    settings = {"algorithm": "rpn", "model": str(proposed[0].path)}
    made = pack_proposals(
        [(name, photo_key(Path(file)), found[file]) for name, file in zip(names, found, strict=True)], settings
    )
    write_proposals(out, made)
    return made
