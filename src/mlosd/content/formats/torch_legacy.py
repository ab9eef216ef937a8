"""torch.save before 1.6: several pickles one behind the other (magic number, version, system, the object, the keys of
its storages), then the bytes of the storages.

The fourth pickle tells what it is, as in the newer format. Cut off: the storages do not reach to the end.
"""

from mlosd.content.encodings.pickle_machine import MOST_OPERATIONS, listing
from mlosd.content.encodings.pickled import Listing, Sequence
from mlosd.content.encodings.stream import Stream
from mlosd.content.encodings.torch_tensors import storage
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.pickle_identity import identity
from mlosd.content.window import Damaged, Window

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_BEFORE = 3
_COUNT_SIZE = 8


def matches(head: bytes, _: bytes) -> bool:
    return head[:1] == b"\x80" and head[2 : 2 + len(_MAGIC)] == _MAGIC


def describe(window: Window) -> Identity:
    stream = Stream(window)
    for _ in range(_BEFORE):
        listing(stream)
    found = listing(stream, MOST_OPERATIONS)
    return identity("torch legacy", found, complete=_is_complete(window, stream, found))


def _is_complete(window: Window, stream: Stream, found: Listing) -> bool:
    if not found.stopped:
        return True  # too long to tell
    try:
        keys = listing(stream).root
    except Damaged:
        return False
    sizes = {place.key: place.count * place.item_size for given in found.persistent if (place := storage(given))}
    named = [key for key in keys.items if key in sizes] if isinstance(keys, Sequence) else []
    return stream.at + sum(_COUNT_SIZE + sizes[key] for key in named) <= window.size


FORMAT = Format("torch legacy", Strength.MAGIC, matches, describe)
