"""Sticky assignment: an entity (a customer) meets the same variant every time, and variants have
the shares that their weights say.

    point = first 8 bytes of SHA-256("<salt>:<entity>"), big-endian, / 2**64       in [0, 1)
    the variant whose stretch of [0, 1) holds the point; stretches lie side by side in the order of
    the variants, each as long as its weight / the sum of the weights

The salt is the endpoint's name, so that two experiments do not share their groups. When weights
move from one variant to its neighbour only entities of the moved stretch change. Callers send the
answer as TargetVariant. Any language can compute it; nothing here depends on Python's hash().
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def point(entity: str, salt: str) -> float:
    """Where an entity lies in [0, 1)."""
    digest = hashlib.sha256(f"{salt}:{entity}".encode()).digest()
    # The first 53 of those 64 bits, so that the float is exact and below 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def assign(entity: str, weights: Mapping[str, float], salt: str) -> str:
    """The variant of an entity. Raises ValueError when no weight is above 0."""
    total = sum(weights.values())
    if total <= 0:
        raise ValueError(f"no variant has a weight above 0: {dict(weights)}")
    place, reached, last = point(entity, salt) * total, 0.0, ""
    for name, weight in weights.items():
        if weight <= 0:
            continue
        reached += weight
        last = name
        if place < reached:
            return name
    return last  # rounding left the sum a little below the total
