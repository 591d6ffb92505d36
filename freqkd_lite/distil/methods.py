"""Methods of a comparison: what an infrared student learns from.

    none                              the undistilled student
    mse                               the loss of that name
    mse (mismatched=True, lr=0.003)   with settings of its own
    coherence (variant=root)          or with options of the loss
    mse (projector=True)              through a convolution that is trained and left behind

Everything else that decides a run, the pairs and their order, is the recipe, the same for all.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml

from freqkd_lite.distil.run import Run, distil
from freqkd_lite.distil.settings import DistilSettings, settings_from
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone
from freqkd_lite.names import split_method, up_to_date

NONE = "none"
OWN = {"lr", "weight_decay", "warmup", "clip", "steps", "mismatched", "projector"}
OWN |= {"lora_rank", "lora_alpha", "merge_scale"}
"""Settings that a method may override."""


def method_settings(method: str, **recipe: Any) -> DistilSettings:
    """How to train a method: the recipe (settings of `DistilSettings`) with its own changes.

    `UserError` for an unknown loss, or a setting or option that can't be a method's own.
    """
    loss, text = split_method(up_to_date(method))
    try:
        given = yaml.safe_load("{" + text.replace("=", ": ") + "}")
    except yaml.YAMLError as error:
        like = "write it like mse (lr=0.003)"
        raise UserError(f"The method {method!r} can't be read: {like}.") from error
    own, options = {}, {}
    for name, value in given.items():
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)  # 1e-2, which is a text in YAML
        if name in DistilSettings.model_fields and name not in OWN:
            raise UserError(
                f"{name} in the method {method!r} is the same for all methods: give it beside them "
                f"(a method's own may be {', '.join(sorted(OWN))})."
            )
        (own if name in OWN else options)[name] = value
    return settings_from(**recipe | {"loss": loss, "loss_options": options} | own)


def check_methods(methods: Sequence[str], further: Mapping[str, Any] | None = None) -> None:
    """`UserError` unless `methods` are "none", with which all others are compared, and losses; and
    where `further` settings name another student, because "none" is the teacher's own network."""
    for name in ("student", "student_weights", "student_blocks"):
        if (further or {}).get(name) is not None:
            raise UserError(
                f"further names {name}: here teacher and student begin as one network, so leave it "
                "out; freqkd_lite.distil trains others."
            )
    for method in methods:
        if method != NONE:
            method_settings(method)
    if NONE not in methods or len(set(methods)) < max(2, len(methods)):
        raise UserError(f"methods={list(methods)}: give 'none' and at least one loss, each once.")


def distil_methods(
    methods: Sequence[str], recipe: Mapping[str, Any], teacher: Backbone
) -> tuple[dict[str, Run], dict[str, Backbone]]:
    """(runs of the trained methods, students of all) by method; "none" is the teacher itself.

    `recipe` has the parameters of a notebook that distils: dataset, distil_dataset, root,
    train_pairs, height, width, model, weights, blocks, steps, batch, crop, lr, lora_rank, seed, and
    `further` settings of `DistilSettings`. Finished runs are read instead of trained again.
    """
    check_methods(methods, recipe["further"])
    names = {"train_pairs": "limit", "model": "teacher", "weights": "teacher_weights"}
    same = ("root", "blocks", "steps", "batch", "crop", "lr", "lora_rank", "seed", *names)
    settings = {names.get(name, name): recipe[name] for name in same}
    for name in ("root", "teacher_weights", "crop"):
        settings[name] = settings[name] or None  # empty parameters
    settings["dataset"] = recipe["distil_dataset"] or recipe["dataset"]
    settings["size"] = teacher.crop((recipe["height"], recipe["width"]))
    settings |= {"precision": "fp32"} | recipe["further"]
    trained = [method for method in methods if method != NONE]
    runs = {method: distil(method_settings(method, **settings)) for method in trained}
    return runs, {NONE: teacher} | {method: run.student() for method, run in runs.items()}
