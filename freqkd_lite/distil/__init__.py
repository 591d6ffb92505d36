"""Stage 1: an infrared student learns, without labels, what its RGB teacher sees."""

# ruff: noqa: F401
from freqkd_lite.distil.methods import distil_methods
from freqkd_lite.distil.run import Run, distil
from freqkd_lite.distil.sampling import batches, infrared_of, load_views, plan
from freqkd_lite.distil.settings import DistilSettings, settings_from
from freqkd_lite.distil.student import Student, add_lora, first_student
from freqkd_lite.distil.teacher import CachedTeacher, Teacher
from freqkd_lite.distil.train import learning_rate
