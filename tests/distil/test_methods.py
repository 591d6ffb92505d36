"""How arms are named, and what becomes of a name."""

import pytest

from freqkd_lite.distil.methods import arm_settings, check_arms
from freqkd_lite.errors import UserError
from freqkd_lite.results.rows import split_arm, with_settings
from freqkd_lite.viz.scores import colour, name


def test_an_arm_is_a_loss_with_what_it_has_of_its_own():
    plain = arm_settings("mse", lr=0.001, steps=7, seed=3)
    assert (plain.loss, plain.lr, plain.steps, plain.seed) == ("mse", 0.001, 7, 3)
    own = arm_settings("mse (lr=0.003, shuffled=True, merge_scale=0.5)", lr=0.001, steps=7, seed=3)
    assert own == plain.model_copy(update={"lr": 0.003, "shuffled": True, "merge_scale": 0.5})
    rooted = arm_settings("coherence (variant=root)", lr=0.001)
    assert (rooted.loss, rooted.loss_options, rooted.lr) == (
        "coherence", {"variant": "root"}, 0.001,
    )  # fmt: skip
    both = arm_settings("code (cutoff=0.25, steps=2)", steps=7)
    assert both.loss_options == {"cutoff": 0.25} and both.steps == 2


def test_arms_are_checked_before_anything_is_trained():
    check_arms(["none", "mse", "code", "mse (shuffled=True)", "code (cutoff=0.25)"])
    with pytest.raises(UserError, match="'msee'.*did you mean 'mse'"):
        check_arms(["none", "msee"])
    for wrong in (["mse", "code"], ["none"], ["none", "mse", "mse"]):
        with pytest.raises(UserError, match="give 'none' and at least one loss, each once"):
            check_arms(wrong)
    with pytest.raises(UserError, match="batch in the arm.*is the same for all arms"):
        check_arms(["none", "mse (batch=4)"])
    with pytest.raises(UserError, match="The loss 'mse' takes no options: leave out cutoff"):
        check_arms(["none", "mse (cutoff=0.5)"])
    with pytest.raises(UserError, match="option of the loss 'freqkd_code'.*cutof"):
        check_arms(["none", "code (cutof=0.5)"])
    check_arms(["none", "mse"], {"clip": None, "crop_list": 4, "student": None})
    for other in ("student", "student_weights", "student_blocks"):
        with pytest.raises(UserError, match=f"^further names {other}: .* so leave it out"):
            check_arms(["none", "mse"], {other: "resnet18"})
    with pytest.raises(UserError, match="can't be read: write it like"):
        check_arms(["none", "code (cutoff=[0.5)"])
    with pytest.raises(UserError, match="lr='fast' can't be used"):
        arm_settings("mse (lr=fast)")


def test_a_name_is_taken_apart_and_put_together():
    assert split_arm("mse") == ("mse", "")
    assert split_arm("mse (lr=0.003, crop=[8, 9])") == ("mse", "lr=0.003, crop=[8, 9]")
    assert split_arm("a (word)") == ("a (word)", "")
    assert with_settings("mse", "") == "mse"
    assert with_settings("mse", "steps=60") == "mse (steps=60)"
    assert with_settings("mse (lr=0.003)", "steps=60") == "mse (lr=0.003, steps=60)"
    assert name("code (lr=0.003)") == "FreqKD (code) · lr=0.003"
    assert colour("code (lr=0.003)") == colour("code") != colour("mse (lr=0.003)")


def test_a_number_may_be_written_with_an_exponent():
    assert arm_settings("mse (lr=3e-4)").lr == 0.0003
    assert arm_settings("projected (least=1e-2)").loss_options == {"least": 0.01}
    assert arm_settings("coherence (variant=root)").loss_options == {"variant": "root"}
