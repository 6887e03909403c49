"""Settings of a model: which generation, and what of it is otherwise."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import model_validator

from detect.config.section import Section
from detect.config.slots import BackboneConfig, HeadConfig, PostprocessConfig, RpnConfig, SearchConfig, TestTimeConfig
from detect.errors import nearest

# What a kind means where the settings of a slot do not say otherwise: the paper's choices.
KINDS: dict[str, dict[str, Any]] = {
    "fast_rcnn": {  # section 2.3: 64 regions of each of 2 photos, background with an IoU of 0.1 and more
        "proposals": "selective_search",
        "pool": "roi_pool",
        "head": {"number": 64, "share": 0.25, "background": (0.1, 0.5)},
    },
    "faster_rcnn": {"proposals": "rpn"},
}


class ModelConfig(Section):
    """The five slots."""

    kind: Literal["fast_rcnn", "faster_rcnn"] = "faster_rcnn"
    """Which generation; it sets the defaults of the slots."""
    proposals: str = "rpn"
    """Where proposals come from: rpn, selective_search, or a file of them (.npz, .mat, .json)."""
    classifier: Literal["softmax"] = "softmax"
    """What scores a region."""
    pool: Literal["roi_pool", "roi_align"] = "roi_align"
    """How a region is cut from the map."""
    init: str | None = None
    """A detector checkpoint to start from."""
    backbone: BackboneConfig = BackboneConfig()
    rpn: RpnConfig = RpnConfig()
    search: SearchConfig = SearchConfig()
    head: HeadConfig = HeadConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    test_time: TestTimeConfig = TestTimeConfig()

    @model_validator(mode="before")
    @classmethod
    def _as_the_kind_has_it(cls, settings: Any) -> Any:
        """Keys that are not set, from KINDS; two levels deep."""
        if not isinstance(settings, dict):
            return settings
        filled = dict(settings)
        for key, value in KINDS.get(str(settings.get("kind", "faster_rcnn")), {}).items():
            own = filled.setdefault(key, value)
            if isinstance(own, dict) and isinstance(value, dict):
                filled[key] = value | own
        return filled

    @model_validator(mode="after")
    def _possible_pair(self) -> ModelConfig:
        known = ("rpn", "selective_search")
        if self.proposals not in known and PurePath(self.proposals).suffix not in (".npz", ".mat", ".json"):
            raise ValueError(
                f"proposals: expected rpn, selective_search or a .npz, .mat or .json file, found {self.proposals}"
                f"{nearest(self.proposals, known)}"
            )
        if self.kind != "faster_rcnn" and not self.given:
            raise ValueError(
                f"{self.kind} is given its proposals: expected selective_search or a file in proposals, found rpn "
                "(which makes it a faster_rcnn)"
            )
        return self

    @property
    def given(self) -> bool:
        """Whether proposals come with the photos."""
        return self.proposals != "rpn"
