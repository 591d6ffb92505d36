"""FreqKD-lite: frequency-decoupled distillation from RGB to infrared, as a tutorial and a test.

The modules in the order in which data flows through them, which is the order to read them in:
`data` -> `features` -> `spectrum` -> `coherence`, `similarity` -> `filters` -> `losses` (which
`rivals` and `weighted` join) -> `runs` -> `checkpoints` -> `teacher_cache` -> `distil` ->
`evaluate` -> `results` -> `figures`, `widgets`, `notebook` -> `gap`, `check`, `demo` -> `sweep`,
`compare`, `summary` -> `cli`.
"""

__version__ = "0.1.0"
