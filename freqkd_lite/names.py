"""Display names of methods, controls and metrics, and how a method is written.

A method is a loss, or "none" (the undistilled student), with its own settings in brackets:
"mse", "freqkd_code (lr=0.003)", "mse (mismatched=True, lr=0.003)".
"""

import re
from collections.abc import Mapping
from typing import Any

NAMES = {
    # what is seen, and by whom
    "visible": "RGB",
    "infrared": "infrared",
    "teacher": "teacher on RGB",
    "none": "undistilled",
    # losses
    "mse": "MSE",
    "mse_raw": "raw MSE",
    "cosine": "cosine",
    "freqkd_code": "FreqKD (code)",
    "freqkd_paper": "FreqKD (paper)",
    "signed": "FreqKD (signed)",
    "robust": "FreqKD (robust)",
    "low_only": "low band only",
    "high_only": "high band only",
    "swapped": "bands swapped",
    "step": "step of 1 and 0.1",
    "lowpass": "smooth low-pass",
    "coherence": "coherence weight",
    "anchor": "anchored",
    "projected": "predictable channels",
    "unic": "UNIC",
    "pkd": "PKD",
    "cwd": "CWD",
    "wavelet": "wavelet",
    "spectralkd": "SpectralKD",
    "gram": "Gram",
    "attention": "attention",
    # controls of the gap
    "real": "infrared",
    "mismatched": "mismatched pairs",
    "grey": "grey copy",
    "shift1": "1 px shift",
    "shift2": "2 px shift",
    "shift4": "4 px shift",
    "shift8": "8 px shift",
    "rotate1": "1 degree rotation",
    "noise": "noise",
    "random": "random weights",
    "stretch": "infrared stretched",
    "unstretch": "infrared at half contrast",
    "cropped": "infrared, cropped",
    "aligned": "infrared, aligned",
    "day": "infrared, by day",
    "night": "infrared, by night",
    # metrics
    "probe_ap": "probe AP",
    "label_free_probe_ap": "label-free probe AP",
    "map50": "mAP50",
    "miou": "mIoU",
    "agreement": "agreement with RGB, mIoU",
    "weak_miou": "mIoU with boxes as weak masks",
    "balanced_accuracy": "balanced accuracy",
    "label_free_balanced_accuracy": "label-free balanced accuracy",
    "miss_rate": "log-average miss rate, %",
}
OLD_KEYS = {
    "against": "reference",
    "named": "preregistered",
    "later": "post_hoc",
    "along": "curve",
    "arms": "methods",
}
"""Keys of older sweep files, manifests and parameters -> today's."""
OLD_NAMES = {"code": "freqkd_code", "eq": "freqkd_paper", "shuffled": "mismatched"}
"""Names in older sweep files and results -> today's."""


def split_method(method: str) -> tuple[str, str]:
    """("mse", "lr=0.003, steps=60") of "mse (lr=0.003, steps=60)", ("mse", "") of "mse"."""
    return re.findall(r"\A(.*?)(?: \((\w+=.*)\))?\Z", method)[0]


def own_settings(method: str) -> dict[str, str]:
    """{"lr": "0.003", "steps": "60"} of "mse (lr=0.003, steps=60)", {} of "mse"."""
    parts = re.split(r", (?=\w+=)", split_method(method)[1])  # not at the commas of a list
    return dict(part.split("=", 1) for part in parts if part)


def join_method(loss: str, settings: Mapping[str, object]) -> str:
    """The inverse of `split_method` and `own_settings`."""
    return with_settings(loss, ", ".join(f"{key}={value}" for key, value in settings.items()))


def with_settings(method: str, more: str) -> str:
    """The method with further settings such as "steps=60"; unchanged without any."""
    loss, own = split_method(method)
    text = ", ".join(part for part in (own, more) if part)
    return f"{loss} ({text})" if text else loss


def up_to_date(method: str) -> str:
    """The method with today's names: "freqkd_code (mismatched=True)" of "code (shuffled=True)"."""
    settings = {OLD_NAMES.get(key, key): value for key, value in own_settings(method).items()}
    loss = split_method(method)[0]
    return join_method(OLD_NAMES.get(loss, loss), settings)


def method_name(method: str) -> str:
    """The method's display name with its own settings: "FreqKD (code) · lr=0.003", without commas,
    because names appear in lists.
    """
    loss, settings = split_method(method)[0], own_settings(method)
    parts = [NAMES.get(loss, loss)]
    for key, value in settings.items():
        flag = {"mismatched": "mismatched pairs", "projector": "trained projector"}.get(key)
        parts.append(flag if flag and value == "True" else f"{key}={value}")
    return " · ".join(parts)


def renamed(entry: Any, key: str = "") -> Any:
    """An entry of a sweep file, preset or manifest, called `key`, with today's keys and names."""
    if isinstance(entry, dict):
        return {OLD_KEYS.get(k) or k: renamed(v, OLD_KEYS.get(k) or k) for k, v in entry.items()}
    if isinstance(entry, list):
        return [renamed(each, key) for each in entry]
    of_methods = key in ("methods", "reference", "preregistered", "post_hoc", "read")
    return up_to_date(entry) if of_methods and isinstance(entry, str) else entry
