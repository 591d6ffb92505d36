"""How methods are written, and what becomes of what is written."""

from types import SimpleNamespace

from freqkd_lite.distil.methods import check_methods, distil_methods, method_settings
from freqkd_lite.features import load_backbone
from freqkd_lite.names import method_name, split_method, with_settings
from freqkd_lite.viz.style import colour
from tests.refused import refused


def test_a_method_is_a_loss_with_settings_of_its_own():
    plain = method_settings("mse", lr=0.001, steps=7, seed=3)
    assert (plain.loss, plain.lr, plain.steps, plain.seed) == ("mse", 0.001, 7, 3)
    changes = {"lr": 0.003, "mismatched": True, "merge_scale": 0.5}
    own = method_settings("mse (lr=0.003, mismatched=True, merge_scale=0.5)", steps=7, seed=3)
    assert own == plain.model_copy(update=changes)
    assert method_settings("mse (lr=3e-4)").lr == 0.0003  # a text in YAML
    assert method_settings("projected (least=1e-2)").loss_options == {"least": 0.01}
    mean = method_settings("mse (mean=matched, mean_weight=0.3, lr=0.003)")
    assert mean.loss_options == {"mean": "matched", "mean_weight": 0.3} and mean.lr == 0.003
    rooted = method_settings("coherence (variant=root)")
    assert (rooted.loss, rooted.loss_options) == ("coherence", {"variant": "root"})
    both = method_settings("freqkd_code (cutoff=0.25, steps=2)", steps=7)
    assert both.loss_options == {"cutoff": 0.25} and both.steps == 2


def test_old_names_are_read():
    assert method_settings("code (lr=0.003)") == method_settings("freqkd_code (lr=0.003)")
    assert method_settings("eq") == method_settings("freqkd_paper")
    assert method_settings("mse (shuffled=True)") == method_settings("mse (mismatched=True)")


def test_methods_are_checked_before_anything_is_trained():
    """And that all begin as the teacher."""
    check_methods(["none", "mse"], {"clip": None, "crop_list": 4, "student": None})
    for other in ("student", "student_weights", "student_blocks"):
        refused(other, check_methods, ["none", "mse"], {other: "resnet18"})
    for methods in (["mse", "freqkd_code"], ["none"]):
        refused("none", check_methods, methods)
    refused("once", check_methods, ["none", "mse", "mse"])
    for method, named in (
        ("msee", "msee"),
        ("mse (batch=4)", "batch"),
        ("mse (cutoff=0.5)", "cutoff"),
        ("freqkd_code (cutof=0.5)", "cutof"),
        ("freqkd_code (cutoff=[0.5)", "cutoff"),
        ("mse (lr=fast)", "lr"),
    ):
        refused(named, check_methods, ["none", method])


def test_a_name_is_taken_apart_and_put_together():
    assert split_method("mse") == ("mse", "")
    assert split_method("mse (lr=0.003, crop=[8, 9])") == ("mse", "lr=0.003, crop=[8, 9]")
    assert split_method("a (word)") == ("a (word)", "")
    assert with_settings("mse", "") == "mse"
    assert with_settings("mse", "steps=60") == "mse (steps=60)"
    assert with_settings("mse (lr=0.003)", "steps=60") == "mse (lr=0.003, steps=60)"
    assert method_name("freqkd_code (lr=0.003)") == "FreqKD (code) · lr=0.003"
    one, other = colour("freqkd_code"), colour("mse (lr=0.003)")
    assert colour("freqkd_code (lr=0.003)") == one != other


def test_the_recipe_is_a_notebooks_parameters(monkeypatch):
    given, run = [], SimpleNamespace(student=lambda: "student")
    monkeypatch.setattr("freqkd_lite.distil.methods.distil", lambda s: given.append(s) or run)
    recipe = dict(dataset="scenes", distil_dataset="", root="", height=113, width=141, pairs=7)
    recipe |= dict(model="freqkd_tiny", weights="", blocks=[1, 3], steps=5, batch=2, crop=[])
    recipe |= dict(lr=0.1, lora_rank=4, seed=3, further={"clip": None}, train_pairs=9)
    teacher, method = load_backbone("freqkd_tiny").freeze(), "mse (lr=0.2)"
    found = distil_methods(["none", method], recipe, teacher)
    assert found == ({method: run}, {"none": teacher, method: "student"})
    (settings,) = given
    assert (settings.size, settings.limit, settings.lr) == ((112, 140), 9, 0.2)
    assert (settings.crop, settings.clip, settings.teacher_weights) == (None, None, None)
