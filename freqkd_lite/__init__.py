"""FreqKD-lite: frequency-decoupled distillation from RGB to infrared, as a tutorial and a test.

The modules in the order in which data flows through them, which is the order to read them in:
`data` -> `features` -> `spectrum` -> `coherence`, `similarity` -> `losses` -> `runs`
-> `checkpoints` -> `teacher_cache` -> `distil` -> `evaluate` -> `results` -> `figures`, `widgets`,
`notebook` -> `check`, `changes`, `controls`, `gap`, `demo` -> `sweep`, `compare`, `summary`
-> `cli`.
"""

__version__ = "0.1.0"
