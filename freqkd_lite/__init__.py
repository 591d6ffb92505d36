"""FreqKD-lite: frequency-decoupled distillation from RGB to infrared, as a tutorial and a test.

The modules in the order in which data flows through them, which is the order to read them in:
`data` -> `features` -> `spectrum` -> `coherence`, `similarity` -> `filters`, `losses`, `rivals`,
`weighted`, `projected` -> `runs` -> `checkpoints` -> `teacher_cache` -> `processes`, `precision`,
`memory` -> `distil` -> `evaluate` -> `results` -> `arms`, `paired` -> `figures`, `widgets`,
`notebook` -> `check`, `changes`, `controls`, `gap`, `demo`, `knobs`, `explore` -> `sweep`,
`compare`, `summary`, `planning`, `bench` -> `cli`.
"""

__version__ = "0.1.0"
