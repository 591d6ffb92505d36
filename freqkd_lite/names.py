"""How methods, controls and metrics are called in figures and tables: one name each."""

from __future__ import annotations

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
    "map50": "mAP50",
    "miou": "mIoU",
}
# Names of before the package was put in order, until every room uses the new ones.
NAMES |= {
    "code": NAMES["freqkd_code"],
    "eq": NAMES["freqkd_paper"],
    "shuffled": NAMES["mismatched"],
}
