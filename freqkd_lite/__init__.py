"""FreqKD-lite: frequency-decoupled distillation from RGB to infrared, as a tutorial and a test.

Rooms, in the order to read them in; each imports only what stands before it: `errors`, `names`,
`store`, `data`, `scenes`, `features`, `spectrum`, `losses`, `distil`, `evaluate`, `gap`, `results`,
`viz`, `widgets`, `notebook`, `runner`, `cli`.
"""

__version__ = "0.1.0"
