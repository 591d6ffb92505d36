"""Stage 1: an infrared student learns, without labels, what its RGB teacher sees."""

from freqkd_lite.distil.run import Run, distil
from freqkd_lite.distil.sampling import View, batches, load_views, mismatched_partners, plan
from freqkd_lite.distil.settings import DistilSettings, settings_from
from freqkd_lite.distil.student import Student, add_lora, first_student, resize
from freqkd_lite.distil.teacher import CachedTeacher, Teacher
from freqkd_lite.distil.train import InitialStudent, learning_rate

__all__ = [
    "add_lora",
    "batches",
    "CachedTeacher",
    "distil",
    "DistilSettings",
    "first_student",
    "InitialStudent",
    "learning_rate",
    "load_views",
    "mismatched_partners",
    "plan",
    "resize",
    "Run",
    "settings_from",
    "Student",
    "Teacher",
    "View",
]
