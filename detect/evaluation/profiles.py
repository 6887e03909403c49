"""The same detections under every scorer's rules, and what each rule does to each class.

From a profile to the one it is told apart from, one rule is changed at a time, in the order of the record's fields; the
changes add up to the whole difference. (In another order single changes may differ: a grid of 11 recalls hides what
happens between them.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import PROFILES, Profile, Rules, differing, in_words
from detect.evaluation.voc import VocResult, evaluate_by_rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations


@dataclass(frozen=True)
class Change:
    """One rule read otherwise: its field in Rules, how it was read and is read now, and by how much the mean AP and
    that of each class rise (fractions; None where there is no ground truth).
    """

    rule: str
    was: str
    now: str
    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]


@dataclass(frozen=True)
class ProfileScore:
    """Mean AP and AP by class in 0..1 under a profile (None where there is no ground truth).

    base: the profile that ``changes`` lead from, None for the first.
    """

    mAP: float | None  # noqa: N815
    per_class: dict[str, float | None]
    base: str | None
    changes: tuple[Change, ...]

    def to_json(self) -> dict[str, Any]:
        """``{"mAP", "per_class", "base", "changes": [{"rule", "was", "now", "mAP", "per_class"}]}``."""
        return asdict(self)


def compare_profiles(
    annotations: Annotations, predictions: Sequence[Prediction], profiles: Mapping[str, Profile] = PROFILES
) -> dict[str, ProfileScore]:
    """Score predictions, one an image in the annotations' order (``align`` makes them so), under every profile.

    ValueError where the lengths differ.
    """

    @cache
    def scored(rules: Rules) -> VocResult:
        return evaluate_by_rules(annotations, predictions, rules)

    scores = {}
    for name, profile in profiles.items():
        base = None if profile.base is None else profiles[profile.base].rules
        result = scored(profile.rules)
        changes = () if base is None else _changes(base, profile.rules, scored)
        scores[name] = ProfileScore(result.mAP, result.per_class, profile.base, changes)
    return scores


def _changes(start: Rules, end: Rules, scored: Callable[[Rules], VocResult]) -> tuple[Change, ...]:
    changes = []
    rules = start
    for rule in differing(start, end):
        changed = replace(rules, **{rule: getattr(end, rule)})
        before, after = scored(rules), scored(changed)
        changes.append(
            Change(
                rule=rule,
                was=in_words(rules, rule),
                now=in_words(changed, rule),
                mAP=rise(before.mAP, after.mAP),
                per_class={name: rise(ap, after.per_class[name]) for name, ap in before.per_class.items()},
            )
        )
        rules = changed
    return tuple(changes)


def rise(before: float | None, after: float | None) -> float | None:
    """The difference, None where one of them is not known."""
    return None if before is None or after is None else after - before
