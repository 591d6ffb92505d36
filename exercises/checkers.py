"""Checkers of the exercises: each says what is wrong with what a function does, and not how to
write it. The grids on which functions are tried are even, odd and not square.

In a notebook: `check("low_band", low_band)`. In a terminal: `freqkd exercises check low_band`. Both
run the learner's code on this machine.
"""

import math
import random

import attempts
import torch
from attempts import Attempt, Open, Wrong, check, exercise, expect, progress, solved
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from torchvision.ops import box_iou

from freqkd_lite import spectrum
from freqkd_lite.evaluate.stats import multiplicities, percentiles

__all__ = ["attempts", "band_divergence", "check", "progress", "solved"]
GRIDS = ((8, 8), (7, 7), (6, 9), (9, 6))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def wave(h: int, w: int, down: int, right: int) -> Tensor:
    """(1, 1, h, w): a cosine with this many periods along each axis."""
    y, x = torch.arange(h)[:, None], torch.arange(w)
    return torch.cos(2 * torch.pi * (down * y / h + right * x / w))[None, None].float()


def near(a: Tensor | float, b: Tensor | float, off: float = 1e-3) -> bool:
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    return bool((a - b).abs().max() <= off * max(1.0, float(b.abs().max())))


def band_divergence(a: Tensor, b: Tensor) -> Tensor:
    """(low, high) divergence of two sets of maps (N, C, h, w), in the bands of notebook 03."""
    return spectrum.divergence(spectrum.pair_sums(a, b, spectrum.band_pair(*a.shape[-2:])))


@exercise("01_spectral_gap", "radius(h, w)", minutes=10, difficulty=1)
def radius(f: Attempt) -> None:
    for h, w in sorted(GRIDS, key=lambda grid: grid[0] % 2):
        rho = f.tensor((h, w), h, w)
        zero = "Frequency zero has radius 0, and torch.fft.fft2 puts it first"
        expect(near(rho[0, 0], 0), f"{zero}; yours has {rho[0, 0]:.2f} there.")
        mirror = near(rho[1, 0], rho[-1, 0]) and near(rho[0, 1], rho[0, -1])
        expect(mirror, "f and -f are one and the same wave; here their radii differ.")
        if h == 8:
            fast = "A pattern that changes sign from token to token along an axis has radius 1"
            expect(near(rho[4, 0], 1), f"{fast}; yours has {rho[4, 0]:.2f}.")
        if h == 6:
            same = "Waves 3 tokens long have one radius, whether they run down or across"
            expect(near(rho[2, 0], rho[0, 3]), f"{same}; on 6x9 tokens, yours have two.")
        steps = rho[1, 0].square() + rho[0, 1].square()
        slanted = "A slanted wave is faster than either of its parts: think of Pythagoras."
        expect(near(rho[1, 1].square(), steps), slanted)
        expect(near(rho, spectrum.radius(h, w)), f"On {h}x{w} tokens some radii are off.")


@exercise("01_spectral_gap", "divergence(a, b, ring)", minutes=20, difficulty=2)
def divergence(f: Attempt) -> None:
    for h, w in GRIDS:
        every = torch.ones(h, w, dtype=torch.bool)
        x, y = noise(4, 3, h, w), noise(4, 3, h, w, seed=1)
        expect(near(f.number(x, x, every), 0), "Identical maps should have divergence 0.")
        upside, third = f.number(x, -x, every), f.number(3 * x, x, every)
        energy = "Energy is a square: a map and a third of it should have divergence 0.4"
        expect(not near(upside, 1) or near(third, 0.4), f"{energy}; yours have {third:.2f}.")
        most = "A map and its negative should have divergence 2, the most there can be"
        expect(near(upside, 2), f"{most}; yours have {upside:.2f}.")
        # a loud part in which both agree, and a faint one that b lacks: 1 / (9 + 9 + 1)
        loud, faint = 3 * wave(h, w, 1, 0), wave(h, w, 0, 2)
        a, b = torch.cat([loud, loud / 3]), torch.cat([loud, 0 * loud])
        little = "that only one map has should count no more than its energy, beside all the rest."
        expect(near(f.number(loud + faint, loud, every), 1 / 19), f"A faint frequency {little}")
        expect(near(f.number(a, b, every), 1 / 19), f"A faint picture {little}")
        a, b = a.transpose(0, 1), b.transpose(0, 1)
        expect(near(f.number(a, b, every), 1 / 19), f"A faint channel {little}")
        for ring in (spectrum.band_mask(h, w), ~spectrum.band_mask(h, w)):
            inside = spectrum.divergence(spectrum.pair_sums(x, y, [ring]))[0]
            message = "What lies outside the ring should not count, and all that is inside should."
            expect(near(f.number(x, y, ring), inside), message)


@exercise("02_band_split", "low_band(x, cutoff)", minutes=20, difficulty=2)
def low_band(f: Attempt) -> None:
    for h, w in GRIDS:
        flat, fast = torch.ones(1, 1, h, w), wave(h, w, h // 2, 0)
        kept, same = f.tensor(flat.shape, flat, 0.5), "A constant image should come back unchanged"
        if near(kept, 0):
            rest = near(f.tensor(fast.shape, fast, 0.5), fast)
            expect(not rest, f"{same}. Yours vanishes, and the fastest wave is what comes back.")
            raise Wrong(f"{same}. Yours vanishes: where is frequency zero, and where your mask?")
        expect(near(kept, flat), f"{same}. Yours comes back {kept.mean():.3g} times as bright.")
        numbers = [(y, x) for y in range(h // 2 + 1) for x in range(w // 2 + 1)]
        waves = torch.cat([wave(h, w, *each) for each in numbers])
        for cutoff in (1.0, 0.5, 0.25):
            found = f.tensor(waves.shape, waves, cutoff)
            shares = (found * waves).sum((1, 2, 3)) / waves.square().sum((1, 2, 3))
            for (y, x), share in zip(numbers, shares.tolist(), strict=True):
                speed, slanted = max(2 * y / h, 2 * x / w), bool(y and x)
                of = f"On {h}x{w} tokens at cutoff {cutoff}, a {'slanted ' * slanted}wave of"
                _one_wave(of, speed, share, cutoff, slanted)
        x = noise(2, 3, h, w)
        whole, alone = f.tensor(x.shape, x, 0.5), f.tensor(x[1].shape, x[1], 0.5)
        expect(near(whole[1], alone), "A picture is split in another way when it is not alone.")
        expect(
            near(whole, spectrum.split_bands(x)[0]), f"Noise on {h}x{w} tokens is split wrongly."
        )


def _one_wave(of: str, speed: float, share: float, cutoff: float, slanted: bool) -> None:
    """Whether a wave comes back as it should, of this share of the fastest one's frequency."""
    of = f"{of} {speed:.2f} times the highest frequency"
    torn = f"{of} comes back {share:.2f} times as strong: f and -f are one wave, low or not."
    expect(not 0.05 < share < 0.95, torn)
    if speed > cutoff:
        expect(share < 0.5, f"{of} should vanish, and comes back.")
    elif speed == cutoff and not slanted:
        expect(share > 0.5, f"{of} vanishes. What lies on the cutoff belongs to the low band.")
    elif slanted:
        expect(share > 0.5, f"{of} (the larger of its two) vanishes. Which shape has your band?")
    expect(speed > cutoff or share > 0.5, f"{of} should come back, and vanishes.")


@exercise("02_band_split", "band_energy(x, mask)", minutes=20, difficulty=3)
def band_energy(f: Attempt) -> None:
    for h, w in GRIDS:
        x, every = noise(3, 2, h, w), torch.ones(h, w, dtype=torch.bool)
        one, two = (f.tensor((3,), k * x, every) for k in (1, 2))
        expect(near(two, 4 * one), "A picture twice as strong should have four times the energy.")
        none = f.tensor((3,), x, ~every)
        expect(near(none, 0), "Where the mask keeps nothing, there should be no energy.")
        times = []
        for down, right in ((1, 0), (0, 1), (0, w // 2)):
            of = wave(h, w, down, right)
            times.append(float(f.tensor((1,), of, every)[0] / of.square().sum()))
        y, x_, fastest = times
        alike = f"On {h}x{w} tokens a wave along y counts {y:.3g} times its sum of squares, the"
        expect(near(y, x_, 0.01), f"{alike} same wave along x {x_:.3g} times: why not alike?")
        last = "The fastest wave along x, which changes sign from token to token, counts"
        expect(near(fastest, x_, 0.01), f"{last} {fastest:.3g} times its sum of squares.")
        total = f"The energy in all frequencies is the sum of squares; yours is {y:.3g} times that"
        expect(near(y, 1), f"{total} on {h}x{w} tokens.")
        for mask in (spectrum.band_mask(h, w), ~spectrum.band_mask(h, w)):
            energy = spectrum.split_bands(x, mask=mask)[0].square().sum((1, 2, 3))
            expect(near(f.tensor((3,), x, mask), energy), f"A band's energy is off on {h}x{w}.")


@exercise("03_gap_controls", "partners(n, seed)", minutes=10, difficulty=1)
def partners(f: Attempt) -> None:
    several = set()
    for n, seed in [(n, seed) for n in (2, 3, 9) for seed in range(20)]:
        found = f(n, seed)
        if found is None:
            raise Open("It returns nothing yet.")
        try:
            each = list(map(int, found))
        except (TypeError, ValueError):
            raise Wrong(f"It returns {found!r}, where {n} whole numbers are asked for.") from None
        known = len(each) == n and {*each} <= {*range(n)}
        expect(known, f"For {n} pairs it returns {each}: give each one's partner, 0 to {n - 1}.")
        expect(len({*each}) == n, f"Of {n} infrared pictures some are used twice: {each}.")
        own = [i for i in range(n) if each[i] == i]
        itself = f"picture {own and own[0]} of {n} meets its own infrared."
        expect(not own, f"With seed {seed}, {itself}")
        several.add(tuple(each) if n == 9 else ())
    expect(len(several) > 9, "Another seed should give other partners, and hardly ever does.")


@exercise("03_gap_controls", "matching_shift(images, target, features)", 25, 3)
def matching_shift(f: Attempt) -> None:
    # waves of 2.5 and of 10 tokens, and a ramp that shows where a picture was cut
    x = torch.arange(154).float()
    fast, slow = (torch.cos(2 * torch.pi * x / length) for length in (35, 140))
    for rows in (1, 2):
        images = torch.stack([fast, slow, x])[None, :, None].repeat(2, 1, 14 * rows, 1)
        seen: list[Tensor] = []

        def features(pictures: Tensor, seen: list = seen) -> Tensor:
            if pictures.shape[-1] % 14 or pictures.shape[-2] % 14:
                raise ValueError(f"{tuple(pictures.shape)} does not divide into patches of 14 px")
            seen.append(pictures)
            return avg_pool2d(pictures[:, :2], 14)

        for target in (0.05, 0.2, 0.5, 1.9):
            found = f(images, target, features)
            if not seen and found is None:
                raise Open("It returns nothing yet.")
            expect(seen, f"It returns {found!r} without a look at any features.")
            still = "The network has seen no moved picture. Moved features move by a patch of 14 px"
            expect(any(p[0, 2, 0, 0] for p in seen), f"{still} at least, and wrap around.")
            border = "The network was shown a picture with a border that no camera took."
            expect(all(near(p[:, 2].diff(dim=-1), 1) for p in seen), border)
            high, low = (
                math.ceil(length / (2 * math.pi) * math.acos(max(1 - target, -1)))
                if 1 - math.cos(2 * math.pi * 14 / length) >= target
                else None
                for length in (35, 140)
            )
            of = f"For a target of {target} it returns {found!r}"
            if high is None:
                expect(found is None, f"{of}, but up to 14 px nothing reaches it: return None.")
                continue
            whole = isinstance(found, (int, float, Tensor)) and float(found) % 1 == 0
            expect(whole, f"{of}, where a whole number of pixels is asked for.")
            expect(found != low, f"{of}. That is where the low band gets there.")
            expect(found <= high, f"{of}, and a smaller shift reaches that already.")
            expect(found == high, f"{of}, and that is not far enough, in pixels.")


@exercise("04_frequency_loss", "high_term(student, teacher)", minutes=25, difficulty=2)
def high_term(f: Attempt) -> None:
    for h, w in GRIDS:
        t = 0.1 * noise(2, 3, h, w)
        expect(abs(f.number(t, t)) < 1e-9, "The teacher's own high band should cost 0.")
        none, upside = f.number(0 * t, t), f.number(-t, t)
        expect(none > 0, "No high band at all should cost something.")
        blind = "A negated high band costs nothing: the term can't tell it from the teacher's."
        expect(abs(upside) > 1e-6 * none, blind)
        less = "A negated high band should cost more than none at all, and here it does not."
        expect(upside > none, less)
        ones = torch.ones(1, 1, h, w)
        one = "where the teacher's is 1"
        expect(f.number(-ones, ones) > f.number(0 * ones, ones), f"-1 costs no more than 0 {one}.")
        expect(f.number(ones, -ones) > f.number(0 * ones, -ones), "1 costs no more than 0 for -1.")
        twice = "The same pictures twice should cost as much as once, or the batch sets the weight."
        expect(near(f.number(torch.cat([0 * t, 0 * t]), torch.cat([t, t])) / none, 1), twice)
        for start in (-0.5, 0.0, 0.5):
            what = f"{start} times the teacher's"
            student = (start * t).requires_grad_()
            cost = f._once((student, t))
            flat = f"No gradient reaches a student whose high band is {what}."
            expect(isinstance(cost, Tensor) and cost.requires_grad, flat)
            (slope,) = torch.autograd.grad(cost, student)
            nan = f"The gradient is not finite where the student's high band is {what}."
            expect(slope.isfinite().all(), nan)
            expect(slope.abs().max() > 0 or not start, flat)
            away = f"A student whose high band is {what} is led away from the teacher's."
            expect((slope * t).sum() < 0 or not start, away)


@exercise("05_distillation", "rgb_head(weight, bias, rgb, infrared)", minutes=15, difficulty=2)
def rgb_head(f: Attempt) -> None:
    # RGB has mean 1 and deviation 1, so a weight of 3 and a bias of 0.5 make 6.5 of 3
    rgb, heat = (torch.tensor(x).view(1, 1, 1, 2) for x in ((0.0, 2.0), (3.0, 5.0)))
    found = f.tensor((1, 1, 1, 2), torch.tensor([[3.0]]), torch.tensor([0.5]), rgb, heat)
    first = float(found[0, 0, 0, 0])
    by_hand = "RGB 0 and 2, infrared 3 and 5, weight 3, bias 0.5: the first logit is not"
    expect(not near(first, 9.5), f"{by_hand} 9.5. The head was fitted on standardised features.")
    own = "All of this infrared lies above RGB, and the head is told that it is average."
    expect(not near(found.mean(), 0.5), own)
    expect(near(first, 6.5, 0.3), f"{by_hand} {first:.3g}.")
    for h, w in GRIDS:
        weight, bias = noise(4, 3, seed=2), noise(4, seed=3)
        spread = torch.tensor([1.0, 5.0, 0.2]).view(3, 1, 1)
        rgb = spread * noise(5, 3, h, w) + 2
        heat = spread * (2 * noise(2, 3, h, w, seed=1) + 1) + 3
        logits = f.tensor((2, 4, h, w), weight, bias, rgb, heat)
        results = []
        for n_less in (0, 1):
            std, mean = torch.std_mean(rgb, (0, 2, 3), correction=n_less, keepdim=True)
            x = (heat - mean) / std
            results.append(torch.einsum("kc,nchw->nkhw", weight, x) + bias[:, None, None])
        each = "Each channel has its own mean and scale, over all pictures and patches; here"
        expect(any(near(logits, x) for x in results), f"{each} the logits on {h}x{w} are off.")


@exercise("05_distillation", "paired_interval(a, b, street, seed)", minutes=25, difficulty=3)
def paired_interval(f: Attempt) -> None:
    draw = random.Random(0)
    names = [[7 * s + 3] * 4 for s in range(40)]
    street = torch.tensor(draw.sample(sum(names, []), 160))
    a = noise(160)
    low, high = f.pair(a, a - 0.1, street, 0)
    expect(low <= high, "The lower end comes first.")
    expect(not near(low, -0.1) or not near(high, -0.1), "It should say how far a is ahead of b.")
    sure = "a is ahead by 0.1 on every picture, so nothing is left to chance; yours says"
    expect(near(low, 0.1) and near(high, 0.1), f"{sure} {low:.2f} to {high:.2f}.")
    kinds = (names, [[s] * (1 + s % 7) for s in range(40)])
    for uneven, streets in enumerate(kinds):
        street = torch.tensor(draw.sample(sum(streets, []), sum(map(len, streets))))
        a, of_street = noise(len(street), seed=1), noise(300, seed=2)
        b = a - of_street[street] - 1  # a street is one picture, taken several times
        times = multiplicities(len(street), 4000, 5, street.tolist())
        low, high = percentiles(((times @ (a - b).double()) / times.sum(1)).numpy())
        right, (from_, to) = high - low, f.pair(a, b, street, 0)
        middle = "The interval should lie around the mean of a minus that of b"
        expect(from_ < float((a - b).mean()) < to, f"{middle}; yours is {from_:.2f} to {to:.2f}.")
        width = (to - from_) / right
        narrow = "All pictures of a street agree here, so there are fewer looks than pictures: your"
        expect(width > 0.7, f"{narrow} interval is {width:.1f} times as wide as it should be.")
        off = f"Yours is {width:.2f} times as wide as 95 % of the draws"
        expect(0.9 < width < 1.12, f"{off}{', where streets have unlike sizes' * uneven}.")


@exercise("06_detection", "iou(a, b)", minutes=15, difficulty=1)
def iou(f: Attempt) -> None:
    def of(one: tuple, other: tuple) -> float:
        return float(f.tensor((1, 1), *(torch.tensor([box]).float() for box in (one, other))))

    itself = of((0, 0, 2, 2), (0, 0, 2, 2))
    expect(not near(itself, 1 / 2), "What both boxes cover counts twice in your union.")
    expect(near(itself, 1), f"A box and itself have IoU 1, not {itself:.2f}.")
    apart = of((0, 0, 1, 1), (3, 3, 4, 4))
    expect(
        near(apart, 0), f"Boxes that lie apart along x and along y share nothing; yours {apart}."
    )
    beside = of((0, 0, 2, 2), (3, 0, 5, 2))
    expect(near(beside, 0), f"Boxes beside each other share nothing; yours have {beside:.2f}.")
    third = of((0, 0, 4, 2), (2, 0, 6, 2))
    wide = "Boxes from 0 to 4 and from 2 to 6, of one height, have IoU 1/3; yours have"
    expect(near(third, 1 / 3), f"{wide} {third:.2f}. How wide is a box from 0 to 4?")
    a, b = (noise(n, 2, seed=n).repeat(1, 2) for n in (3, 2))
    a[:, 2:] += 1
    b[:, 2:] += torch.tensor([2.0, 0.5])
    several = "Each box of a should meet each box of b: some of 3 x 2 are off."
    expect(near(f.tensor((3, 2), a, b), box_iou(a, b)), several)


@exercise("06_detection", "average_precision(score, right, objects)", minutes=20, difficulty=2)
def average_precision(f: Attempt) -> None:
    def of(score: list, right: list, objects: int) -> float:
        return f.number(torch.tensor(score), torch.tensor(right, dtype=torch.bool), objects)

    expect(
        near(every := of([0.9, 0.8], [1, 1], 2), 1), f"All found, none wrong: 1, not {every:.2f}."
    )
    half = of([0.9], [1], 2)
    expect(near(half, 0.5), f"An object that nobody found should count as 0: 1/2, not {half:.2f}.")
    last = of([0.2, 0.9], [0, 1], 1)
    surest = "The surest detection is right and finds the only object, so AP is 1; yours is"
    expect(near(last, 1), f"{surest} {last:.2f}. In which order do you look?")
    late = of([0.9, 0.8, 0.7], [0, 1, 1], 2)
    longer = "Wrong, right, right, of 2 objects: a list of three has precision 2/3 at either recall"
    expect(near(late, 2 / 3), f"{longer}, so AP is 2/3; yours is {late:.2f}.")
    expect(near(nothing := of([], [], 3), 0), f"No detection at all has AP 0; yours is {nothing}.")
    for n in (5, 40):
        score, right = noise(n), noise(n, seed=1) > 0
        hit = right[score.argsort(descending=True)].tolist()
        precision = [sum(hit[: i + 1]) / (i + 1) for i in range(n)]
        best = sum(max(precision[i:]) for i in range(n) if hit[i]) / (n + 1)
        found = f.number(score, right, n + 1)
        expect(near(found, best), f"Of {n} random detections AP is {best:.3f}, not {found:.3f}.")


@exercise("07_segmentation", "name_pixels(scores, height, width)", minutes=15, difficulty=2)
def name_pixels(f: Attempt) -> None:
    # from class 0 on the left to class 2 on the right, where class 1 is never the best
    sides = torch.tensor([[1.0, 0.0], [0.3, 0.3], [0.0, 1.0]])[None, :, None]
    between = "Between a patch of class 0 and one of class 2 yours names class 1: scores are to be"
    found = f.tensor((1, 4, 8), sides, 4, 8)
    expect(not (found == 1).any(), f"{between} mixed, not names.")
    expect(set(found.unique().tolist()) <= {0, 2}, "It should return the numbers of classes.")
    sure = torch.tensor([[3.0, 0.0], [0.0, 1.0]])[None, :, None]
    count = int((f.tensor((1, 1, 8), sure, 1, 8) == 0).sum())
    reach = "A patch that is surer reaches beyond the middle: mix the scores, then name pixels."
    expect(count != 4, reach)
    centre = "A patch's score stands at its centre, so that the first of two has 5 of 8 pixels here"
    expect(count == 5, f"{centre}; yours has {count}.")
    for h, w in GRIDS:
        scores = noise(2, 4, h, w)
        best = interpolate(scores, (5 * h, 3 * w), mode="bilinear").argmax(1)
        off = (f.tensor((2, 5 * h, 3 * w), scores, 5 * h, 3 * w) != best).double().mean()
        expect(off < 0.002, f"On {h}x{w} patches {off:.0%} of the pixels are named otherwise.")


@exercise("07_segmentation", "class_iou(predicted, truth, classes)", minutes=20, difficulty=2)
def class_iou(f: Attempt) -> None:
    for h, w in GRIDS:
        truth = noise(3, h, w).mul(2).long().abs().clamp_max(2)
        same = f.tensor((3,), truth, truth, 3)
        expect(not near(same, 0.5), "What both give to a class counts twice in your union.")
        expect(near(same, 1), "Where both agree everywhere, each class that is there has IoU 1.")
        none = f.tensor((4,), truth, truth, 4)
        expect(near(none[3], 0), f"A class that stands in neither has IoU 0, not {none[3]:.2f}.")
        zeros, ones = torch.zeros(2, h, w).long(), torch.ones(2, h, w).long()
        half = torch.stack([zeros[0], ones[0]])
        found = f.tensor((2,), zeros, half, 2)
        wrongly = "Half of the pixels that are given to class 0 are of class 1: IoU 1/2, not"
        expect(near(found[0], 0.5), f"{wrongly} {found[0]:.2f}. Do wrong pixels count?")
        few = zeros.clone()
        few[0, 0, 0] = few[1] = 1
        guess = zeros.clone()
        guess[1] = 1
        found = float(f.tensor((2,), guess, few, 2)[1])
        share = h * w / (h * w + 1)
        one = "A picture that has one pixel of a class weighs as much as one that has all; IoU is"
        expect(near(found, share), f"{one} {share:.3f} here, not {found:.3f}.")
        other = truth.roll(1, -1)
        by_hand = [
            float(((other == k) & (truth == k)).sum() / ((other == k) | (truth == k)).sum())
            for k in range(3)
        ]
        found = f.tensor((3,), other, truth, 3)
        expect(near(found, torch.tensor(by_hand)), f"On {h}x{w} pixels some classes are off.")


@exercise("10_coherence_weight", "coherence(a, b)", minutes=20, difficulty=3)
def coherence(f: Attempt) -> None:
    for h, w in GRIDS:
        n, x, y = 40, noise(40, 2, h, w), noise(40, 2, h, w, seed=1)
        shape = (2, h, w)
        unrelated = f.tensor(shape, x, y).mean()
        one = "Unrelated maps agree by chance alone, here in about 1 part of 40; yours score"
        expect(unrelated < 0.999, f"{one} 1: a single picture always agrees with itself.")
        expect(unrelated < 0.3, f"{one} {unrelated:.2f}: is each wave's phase compared?")
        moved = f.tensor(shape, x, 3 * x.roll(1, -1)).mean()
        same = "Maps that are all moved by one token, and 3 times as strong, have coherence 1"
        expect(near(moved, 1), f"{same}; yours score {moved:.2f}.")
        signs = torch.tensor([1, 1, 1, -1]).view(4, 1, 1, 1)
        four = x[:1].repeat(4, 1, 1, 1)
        quarter = f.tensor(shape, four, signs * four).mean()
        share = "Of four equal pictures one is negated: (3 - 1) / 4 of them agree, squared 0.25"
        expect(near(quarter, 0.25), f"{share}; yours score {quarter:.2f}.")
        signs[3] = -3
        loud = f.tensor(shape, four, signs * four).mean()
        weigh = "Loud pictures should count more: three times 1 against 3 cancel to 0"
        expect(near(loud, 0), f"{weigh}; yours score {loud:.2f}.")
        A, B = torch.fft.fft2(x), torch.fft.fft2(y)
        cross = (A * B.conj()).sum(0).abs() ** 2
        by_hand = cross / (A.abs() ** 2).sum(0) / (B.abs() ** 2).sum(0)
        each = f"Of {n} unrelated pairs on {h}x{w} tokens some frequencies are off"
        expect(near(f.tensor(shape, x, y), by_hand), f"{each}: one value a channel and frequency.")


@exercise("10_coherence_weight", "without_chance(coherence, images)", minutes=10, difficulty=1)
def without_chance(f: Attempt) -> None:
    for n, shape in zip((2, 5, 24, 100), GRIDS, strict=True):
        chance, one = torch.full(shape, 1 / n), torch.ones(shape)
        found = f.tensor(shape, chance, n)
        expect(
            near(found, 0), f"Unrelated maps of {n} pictures score 1/{n}, which should become 0."
        )
        found = float(f.tensor(shape, one, n).mean())
        expect(near(found, 1), f"What is wholly coherent should stay 1; yours becomes {found:.2f}.")
        below = f.tensor(shape, 0.5 * chance, n)
        expect(below.max() < 0, "Noise falls on both sides of 0: cut at 0, its mean is no more 0.")
        half = (0.5 - 1 / n) / (1 - 1 / n)
        expect(near(f.tensor(shape, 0.5 * one, n), half), "Between 0 and 1 it should be a line.")
