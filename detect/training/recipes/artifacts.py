"""The files that the stages after a network's training leave in the run folder for each other."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint
from detect.config.builders.detector import build_uninitialized
from detect.models.detector import Detector
from detect.models.slots import Stage
from detect.proposals.files import content_hash
from detect.training.context import RunContext
from detect.training.svm.feature_cache import FeatureCache


class StageArtifacts:
    """The paths of the files that the stages after the network's training leave in the run folder for each other.

    vectors: the features that the classifier reads, of all regions; inputs: the features that box regressors read, of
    the regions that they are fitted on alone (with VGG16's 25,088 numbers per region those of all regions would be six
    times the vectors); norms: the L2 norm of the regressors' features, of all regions, by which R-CNN scales them.
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
    def has_started(self) -> bool:
        """True if one of the files exists already."""
        return any(path.exists() for path in (self.table, self.vectors, self.inputs))

    def remove_features(self) -> None:
        """Remove the feature caches, which are large and not read again once the fits are done."""
        for folder in (self.vectors, self.inputs, self.norms):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network after its training: its checkpoint, a hash of that file's bytes, and the detector of the fits.

    The detector has the network's weights, except for a classifier that reads other features than the trained softmax.
    """

    checkpoint: Checkpoint
    file_hash: int
    detector: Detector

    @property
    def head(self) -> Stage:
        """Return the head of the detector, which has one stage."""
        (stage,) = self.detector.head.stages
        return stage

    @property
    def description(self) -> str:
        """The text by which a feature cache recognizes the network of its features."""
        return f"the network {self.file_hash:016x} after step {self.checkpoint.step}"

    @property
    def vectors_description(self) -> str:
        """The text by which the cache of the classifier's features recognizes them."""
        svm_features = self.head.svm_features
        return self.description if svm_features is None else f"{svm_features} of {self.description}"

    def vectors(self, artifacts: StageArtifacts) -> FeatureCache:
        """Open the cache of the features that the classifier reads, (P, F) per image."""
        return FeatureCache(artifacts.vectors, self.vectors_description, self.head.logits.in_features)

    def inputs(self, artifacts: StageArtifacts) -> FeatureCache:
        """Open the cache of the features that the box regressors read, (E, D) per image."""
        return FeatureCache(artifacts.inputs, self.description, self.head.deltas.in_features)

    def norms(self, artifacts: StageArtifacts) -> FeatureCache:
        """Open the cache of the norms of the box regressors' features, (P, 1) per image."""
        return FeatureCache(artifacts.norms, self.description, 1)


def load_trained_network(context: RunContext, network_context: RunContext) -> TrainedNetwork:
    """Load the network with the best weights in its folder into the detector that the fits complete."""
    saved = load_checkpoint(network_context.folder.best)
    detector = build_uninitialized(context.config, saved.classes)
    weights = dict(saved.weights)
    (head,) = detector.head.stages
    if head.svm_features is not None:
        weights |= {f"head.logits.{name}": tensor for name, tensor in head.logits.state_dict().items()}
    detector.load_state_dict(weights)
    file_hash = content_hash(network_context.folder.best.read_bytes())
    detector = detector.eval().to(network_context.compute.device)
    return TrainedNetwork(checkpoint=saved, file_hash=file_hash, detector=detector)


def fits_svms(context: RunContext) -> bool:
    """Return whether SVMs replace the softmax classifier."""
    return context.config.model.classifier == "svm"


def fits_regressors(context: RunContext) -> bool:
    """Return whether box regressors are fitted after the network's training, instead of trained with it."""
    return context.config.model.kind == "rcnn"
