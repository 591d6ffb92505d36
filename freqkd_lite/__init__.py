"""FreqKD-lite: frequency-decoupled distillation from RGB to infrared, as a tutorial and a test.

The modules in the order in which data flows through them, which is the order to read them in:
`data` -> `features` -> `spectrum` -> `coherence`, `similarity` -> `filters`, `losses`, `freqkd`,
`rivals`, `weighted`, `projected` -> `runs` -> `checkpoints` -> `teacher_cache` -> `processes`,
`precision`, `memory` -> `distil` -> `evaluate` -> `results` -> `arms`, `paired` -> `notebook` ->
`figures`, `widgets` -> `check`, `changes`, `controls`, `report_page`, `gap`, `demo`, `knobs`,
`explore` -> `execute`, `sweep` -> `summary`, `claims`, `compare`, `pages`, `planning` ->
`bench_losses`, `bench_step`, `bench_report`, `bench` -> `cli` and its parts. `errors` stands before
all.
"""

__version__ = "0.1.0"
