"""What the stages after a network's training leave for each other in the run's folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint
from detect.config.builders.detector import empty_detector
from detect.models.detector import Detector
from detect.models.heads.rcnn import FittedHead
from detect.models.heads.softmax import SoftmaxHead
from detect.proposals.files import content_key
from detect.training.context import Work
from detect.training.svm.feature_cache import FeatureCache


class FittedFiles:
    """What the stages after the network's training leave in the run's folder for each other.

    vectors: what the classifier reads, of all regions; inputs: what box regressors read, of the regions that teach them
    alone (with VGG16's 25,088 numbers a region the whole would be six times the vectors); norms: the L2 norm of what
    they read, of all regions, which is what R-CNN scales it by.
    """

    def __init__(self, folder: Path) -> None:
        self.vectors = folder / "vectors"
        self.inputs = folder / "inputs"
        self.norms = folder / "norms"
        self.table = folder / "regions.npz"
        self.mining = folder / "mining.npz"
        self.svms = folder / "svms.npz"
        self.regressors = folder / "regressors.npz"

    @property
    def begun(self) -> bool:
        """Whether there is anything yet."""
        return any(path.exists() for path in (self.table, self.vectors, self.inputs))

    def remove_features(self) -> None:
        """The large ones: nothing reads them once the fits are done."""
        for folder in (self.vectors, self.inputs, self.norms):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Trained:
    """A network after its training: its checkpoint, a key of that file's bytes, and the detector with its weights."""

    checkpoint: Checkpoint
    key: int
    detector: Detector

    @property
    def head(self) -> FittedHead | SoftmaxHead:
        """Its head."""
        head = self.detector.head
        assert isinstance(head, FittedHead | SoftmaxHead)
        return head

    @property
    def named(self) -> str:
        """For the caches: whose features they are."""
        return f"the network {self.key:016x} after step {self.checkpoint.step}"

    def vectors(self, files: FittedFiles) -> FeatureCache:
        """Open the cache of what its classifier reads."""
        return FeatureCache(files.vectors, self.named, self.head.logits.in_features)

    def inputs(self, files: FittedFiles) -> FeatureCache:
        """Open the cache of what its box regressors read."""
        return FeatureCache(files.inputs, self.named, self.head.deltas.in_features)

    def norms(self, files: FittedFiles) -> FeatureCache:
        """Open the cache of the norms of that."""
        return FeatureCache(files.norms, self.named, 1)


def trained_network(network: Work) -> Trained:
    """The best weights in a network's folder."""
    saved = load_checkpoint(network.folder.best)
    detector = empty_detector(network.config, saved.classes)
    detector.load_state_dict(saved.weights)
    key = content_key(network.folder.best.read_bytes())
    return Trained(saved, key, detector.eval().to(network.compute.device))


def fits_svms(work: Work) -> bool:
    """Whether SVMs take the softmax's place."""
    return work.config.model.classifier == "svm"


def fits_boxes(work: Work) -> bool:
    """Whether boxes are regressed after the network's training, not by it."""
    return work.config.model.kind == "rcnn"
