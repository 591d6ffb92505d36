"""Published ways to distil feature maps, each as one loss under its published name.

All act on the maps as they are, (N, C, h, w); what a method normalises, it does itself. Parts that
need labels, more networks or prompts are left out, and the docstring says so. Normalised MSE and
cosine, with which all are compared, are in `losses.base`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from freqkd_lite.errors import UserError
from freqkd_lite.losses.base import positive, register


@register("mse_raw")
def mse_raw(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Mean squared error of the maps as they are: FitNets' hints (Romero et al., ICLR 2015)."""
    return {"all": F.mse_loss(student, teacher)}


@register("unic")
def unic(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """UNIC (Sariyildiz et al., ECCV 2024): 1 - cosine of each token plus smooth L1, one half each.
    As there, the teacher's channels have mean 0 and standard deviation 1; here over the batch's
    tokens, and the student's by the same numbers, because it starts as the teacher."""
    mean, spread = teacher.mean((0, 2, 3), keepdim=True), teacher.std((0, 2, 3), keepdim=True)
    student, teacher = ((x - mean) / spread.clamp_min(1e-6) for x in (student, teacher))
    cosine = 1 - F.cosine_similarity(student, teacher, dim=1).mean()
    return {"cosine": cosine / 2, "smooth_l1": F.smooth_l1_loss(student, teacher) / 2}


@register("pkd")
def pkd(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """PKD (Cao et al., NeurIPS 2022): half the MSE of channels standardised over the batch's
    tokens, which is 1 - Pearson's r of each channel, averaged over channels."""

    def standard(x: Tensor) -> Tensor:
        x = x - x.mean((0, 2, 3), keepdim=True)
        return x / (x.square().mean((0, 2, 3), keepdim=True) + 1e-12).sqrt()

    return {"all": F.mse_loss(standard(student), standard(teacher)) / 2}


@register("cwd")
def cwd(student: Tensor, teacher: Tensor, *, temperature: float = 4.0) -> dict[str, Tensor]:
    """CWD (Shu et al., ICCV 2021): each channel becomes a distribution over space by a softmax at
    `temperature`; temperature^2 x KL(teacher || student), averaged over images and channels."""
    student, teacher = (
        F.log_softmax(x.flatten(2) / positive("temperature", temperature), dim=2)
        for x in (student, teacher)
    )
    divergence = F.kl_div(student, teacher, log_target=True, reduction="none").sum(2).mean()
    return {"all": temperature**2 * divergence}


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """(LL (N, C, h/2, w/2), details (N, 3, C, h/2, w/2)) of one orthonormal Haar transform of maps;
    an odd side first repeats its last row or column."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    return (a + b + c + d) / 2, torch.stack([a - b + c - d, a + b - c - d, a - b - c + d], 1) / 2


@register("wavelet")
def wavelet(
    student: Tensor, teacher: Tensor, *, levels: float = 3.0, high_weight: float = 1.0
) -> dict[str, Tensor]:
    """FreeKD-like (Zhang et al., CVPR 2024): L1 between the maps' wavelet bands, the coarse one and
    `high_weight` x the mean over `levels` of the details (Haar here). Its frequency prompts and
    relational weights, trained with a detector, are left out. It stops where a side is 1. Their
    released code also leaves out the coarse band (it is commented out), sums over levels where this
    takes a mean, and pads with zeros."""
    difference, details = student - teacher, []  # the transform is linear
    if levels != int(levels) or levels < 1:
        raise UserError(f"levels={levels!r} can't be used: give a whole number, 1 or more.")
    for _ in range(int(levels)):
        if min(difference.shape[-2:]) < 2:
            break
        difference, fine = haar(difference)
        details.append(fine.abs().mean())
    high = torch.stack(details).mean() if details else 0 * difference.sum()
    return {"low": difference.abs().mean(), "high": high_weight * high}


@register("spectralkd")
def spectralkd(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """SpectralKD (Tian et al., arXiv 2412.19055): MSE of the real and imaginary parts of the maps'
    spectra, rfft2 over space (orthonormal here). By Parseval that is half of raw MSE, but for the
    first column of frequencies, and the last of an even width, which half a spectrum holds whole
    and so counts double."""
    spectrum = torch.view_as_real(torch.fft.rfft2(student - teacher, norm="ortho"))
    return {"all": spectrum.square().mean()}


@register("gram")
def gram(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Gram anchoring (DINOv3, Simeoni et al., arXiv 2508.10104): MSE between the matrices of
    cosines of every token with every other one. A rotation of the channels costs nothing."""
    cosines = []
    for x in (student, teacher):
        tokens = F.normalize(x.flatten(2), dim=1)
        cosines.append(tokens.mT @ tokens)
    return {"all": F.mse_loss(*cosines)}


@register("attention")
def attention(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Attention transfer (Zagoruyko and Komodakis, ICLR 2017): a map of where a block is active,
    the mean of squares over channels, to L2 norm 1 over space; the L2 distance of the two, mean
    over images. Squared here, as in the authors' code, and summed over space."""
    one, other = (F.normalize(x.square().mean(1).flatten(1), dim=1) for x in (student, teacher))
    return {"all": (one - other).square().sum(1).mean()}
