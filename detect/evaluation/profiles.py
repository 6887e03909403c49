"""The same detections scored by the rules of every scorer, and the effect of each rule on each class.

A profile is compared with its base profile by changing one rule at a time, in the order of the record's fields. The
effects add up to the whole difference. (In another order single effects may differ: a grid of 11 recalls hides changes
between them.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import PROFILES, Profile, Rules, describe, differences
from detect.evaluation.voc import VocResult, evaluate_by_rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations


@dataclass(frozen=True)
class RuleChange:
    """The effect of changing one rule.

    rule_name: its field in Rules; before, after: its settings in words; mAP, per_class: by how much the mean AP and the
    AP of each class rise (fractions; None where there is no ground truth).
    """

    rule_name: str
    before: str
    after: str
    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]


@dataclass(frozen=True)
class ProfileScore:
    """Mean AP and AP by class in 0..1 by the rules of a profile (None where there is no ground truth).

    base: the profile from which ``changes`` start, None for the first.
    """

    mAP: float | None  # noqa: N815
    per_class: dict[str, float | None]
    base: str | None
    changes: tuple[RuleChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"mAP", "per_class", "base", "changes": [{"rule", "was", "now", "mAP", "per_class"}]}``."""
        changes = [
            {
                "rule": _JSON_NAMES.get(change.rule_name, change.rule_name),
                "was": change.before,
                "now": change.after,
                "mAP": change.mAP,
                "per_class": change.per_class,
            }
            for change in self.changes
        ]
        return {"mAP": self.mAP, "per_class": self.per_class, "base": self.base, "changes": changes}


# The names of rules in JSON files, which scripts read, where they differ from the names of the fields.
_JSON_NAMES = {
    "rematch_if_taken": "second_choice",
    "prefer_counted": "regular_first",
    "ioa_with_ignored": "inside_lenient",
    "last_on_ties": "last_of_equals",
}


def compare_profiles(
    annotations: Annotations, predictions: Sequence[Prediction], profiles: Mapping[str, Profile] = PROFILES
) -> dict[str, ProfileScore]:
    """Score predictions, one for each image in the order of the annotations (``align`` returns them so), by profile.

    Raises ValueError where the lengths differ.
    """

    @cache
    def score(rules: Rules) -> VocResult:
        return evaluate_by_rules(annotations, predictions, rules)

    scores = {}
    for name, profile in profiles.items():
        base = None if profile.base is None else profiles[profile.base].rules
        voc = score(profile.rules)
        changes = () if base is None else _changes(base, profile.rules, score)
        scores[name] = ProfileScore(voc.mAP, voc.per_class, profile.base, changes)
    return scores


def _changes(start: Rules, end: Rules, score: Callable[[Rules], VocResult]) -> tuple[RuleChange, ...]:
    """Return the effect of each rule on the way from ``start`` to ``end``."""
    changes = []
    rules = start
    for name in differences(start, end):
        changed = replace(rules, **{name: getattr(end, name)})
        before, after = score(rules), score(changed)
        changes.append(
            RuleChange(
                rule_name=name,
                before=describe(rules, name),
                after=describe(changed, name),
                mAP=gain(before.mAP, after.mAP),
                per_class={label: gain(ap, after.per_class[label]) for label, ap in before.per_class.items()},
            )
        )
        rules = changed
    return tuple(changes)


def gain(before: float | None, after: float | None) -> float | None:
    """Return the difference, None where one of the two is None."""
    return None if before is None or after is None else after - before
