"""A random intercept for each member: one calls more than another, as far as the probability that they all read leaves it open.

The conditioning network's head answers with a probability p. Given to the members of a view alike, its doubt reaches neither
their variance nor their volumes. So each member reads it with a random intercept b of its own,

    answer = sigmoid(logit(p) / attenuation + b),

from the bridge distribution: the one whose mean answer is p again, so that the ensemble's mean stays what it was (Wang & Louis
2003, Biometrika 90:765, doi:10.1093/biomet/90.4.765). The attenuation says how much of the doubt lies between the members: at 1 all
answer p, towards 0 each answers with a mask. A member has one intercept for all voxels and regions, as a reader has habits; its volume is
then larger or smaller as far as the borders are uncertain.

Intercepts are not drawn but dealt, as the views are, so that few members already stand for the distribution: at levels that fill
it evenly, and in pairs of opposite ones, which leave the mean of a voxel at one half exactly there. The members of a pair follow one
another, so every even number of finished members is balanced; the last of an odd number has no partner and gets the intercept 0, also where
a run was stopped there (`LDMSegLib.inference.ensemble` waits for a partner). A pair is read in two views, which change sides in half of the
rounds, so that no view always gets intercepts of one sign.
"""

from __future__ import annotations

import math

import torch

MOST_CERTAIN = 1e-6
"""Probabilities nearer to 0 and 1 than this are taken for this."""


def intercept(member: int, members: int, attenuation: float, views: int = 1) -> float:
    """The intercept of one of the members, the same in every run.

    Args:
        member: its index, from 0 up; 2k and 2k + 1 are a pair.
        members: how many there are; the last of an odd number has 0.
        attenuation: above 0 and at most 1; 1 gives 0 for all.
        views: how many the members are dealt to (`LDMSegLib.inference.tta.view_of`).
    """
    if attenuation == 1.0 or (members % 2 and member == members - 1):
        return 0.0
    level = _van_der_corput(member // 2 + 1) / 2.0
    # An odd number of views changes the sides by itself: a view then has the first place of a pair and the second by turns. By turns
    # alone would not do with an even one: the levels below and above one half come by turns too. So after Thue and Morse.
    other_side = member + ((member // views).bit_count() if views % 2 == 0 else 0)
    return _bridge_quantile(1.0 - level if other_side % 2 else level, attenuation)


def with_intercept(answer: torch.Tensor, attenuation: float, intercept: float) -> torch.Tensor:
    """Apply a member's intercept where the head answers `answer`, probabilities of any shape; the same shape and dtype."""
    if attenuation == 1.0:
        return answer
    return torch.sigmoid(torch.logit(answer, eps=MOST_CERTAIN) / attenuation + intercept)


def _bridge_quantile(level: float, attenuation: float) -> float:
    """The inverse of the bridge distribution's F(b) (Wang & Louis 2003, section 2)."""
    angle = math.pi * attenuation
    return math.log(math.sin(angle * level) / math.sin(angle * (1.0 - level))) / attenuation


def _van_der_corput(index: int) -> float:
    """1/2, 1/4, 3/4, 1/8, …: any first so many fill (0, 1) evenly (van der Corput 1935)."""
    value, place = 0.0, 0.5
    while index:
        value, index, place = value + place * (index % 2), index // 2, place / 2.0
    return value
