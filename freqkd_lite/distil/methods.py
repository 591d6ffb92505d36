"""Arms of a comparison: what an infrared student learned from, in one word or a few.

    none                             the undistilled student
    mse                              the loss of that name
    mse (mismatched=True, lr=0.003)    with settings of its own
    coherence (variant=root)         or with options of the loss
    mse (projector=True)             through a convolution that is trained and left behind

Everything else that decides a run, the pairs and their order, is the recipe, the same for all arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from freqkd_lite.distil.settings import DistilSettings, settings_from
from freqkd_lite.errors import UserError
from freqkd_lite.losses import check_options, loss_name
from freqkd_lite.names import OLD_NAMES
from freqkd_lite.results.rows import split_arm

NONE = "none"
OWN = ("lr", "weight_decay", "warmup", "clip", "steps", "mismatched", "lora_rank",
       "lora_alpha", "merge_scale", "projector")  # fmt: skip
"""Settings that an arm may have of its own."""


def _changes(arm: str) -> tuple[str, dict, dict]:
    """(loss, settings, options of the loss) of an arm that is trained."""
    loss, text = split_arm(arm)
    loss = loss_name(loss)
    try:
        given = yaml.safe_load("{" + text.replace("=", ": ") + "}")
    except yaml.YAMLError:
        raise UserError(f"The arm {arm!r} can't be read: write it like mse (lr=0.003).") from None
    given = {OLD_NAMES.get(name, name): _number(value) for name, value in given.items()}
    settings = {name: value for name, value in given.items() if name in OWN}
    options = {name: value for name, value in given.items() if name not in OWN}
    for name in options:
        if name in DistilSettings.model_fields:
            raise UserError(f"{name} in the arm {arm!r} is the same for all arms: give it beside "
                            f"them. Of its own an arm has {', '.join(OWN)}.")  # fmt: skip
    check_options(loss, options)
    return loss, settings, options


def _number(value: object) -> object:
    """YAML's 1e-2 is a text where it has no dot."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def check_arms(arms: Sequence[str], further: Mapping[str, object] | None = None) -> None:
    """`UserError` unless `arms` are "none", with which all others are compared, and losses; and
    where `further` settings name another student: "none" is the teacher's own network."""
    for name in ("student", "student_weights", "student_blocks"):
        if (further or {}).get(name) is not None:
            raise UserError(f"further names {name}: here teacher and student begin as one network, "
                            "so leave it out; freqkd_lite.distil trains others.")  # fmt: skip
    for arm in arms:
        if arm != NONE:
            _changes(arm)
    if NONE not in arms or len(set(arms)) < max(2, len(arms)):
        raise UserError(f"arms={list(arms)}: give 'none' and at least one loss, each once.")


def arm_settings(arm: str, **recipe: object) -> DistilSettings:
    """How to train an arm: the recipe (settings of `DistilSettings`) with the arm's changes."""
    loss, settings, options = _changes(arm)
    return settings_from(**recipe | {"loss": loss, "loss_options": options} | settings)
