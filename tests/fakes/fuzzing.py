"""How hard fuzz tests try. `make fuzz` asks for more, from another seed each time."""

import os
import random

EFFORT = int(os.environ.get("MLOSD_FUZZ", "1"))


def rounds(usual: int) -> int:
    """So many rounds; more when asked."""
    return usual * EFFORT


def chance(seed: int) -> random.Random:
    """The same numbers in every run of the suite; others when asked to try harder. The seed is printed."""
    if EFFORT > 1:
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"seed {seed}")
    return random.Random(seed)
