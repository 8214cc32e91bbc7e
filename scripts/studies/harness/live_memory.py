"""Count of the bytes of live tensors, from the storages that operations make; needs no counter of the device."""

import weakref

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Context that counts the bytes of the storages made inside it, each until it is freed.

    Attributes:
        live: bytes alive now.
        peak: most bytes alive at one time.
    """

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = {id(x.untyped_storage()) for x in tree_leaves((args, kwargs or {})) if hasattr(x, "untyped_storage")}
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if hasattr(x, "untyped_storage"):
                self._count(x.untyped_storage(), before)
        return result

    def _count(self, storage, before):
        key, size = id(storage), storage.nbytes()
        if key in self._known or key in before:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key, size):
        self._known.discard(key)
        self.live -= size
