"""How fast this project is here: `python -m benchmarks.losses`, `.step`, `.cache`, `.tokens` and
`.slider`, each with `--help`.

Times come from torch.utils.benchmark. What counts are ratios within one run: whatever is compared
takes turns, and a ratio is the median over rounds. The bars are for a whole step of training: at
most 1.05 times one with MSE, and at most 1.08 times the student's part alone with a cached teacher.
"""
