"""How the processes of a gang meet: the environment that torchrun would give, and an initialised process group.

torch is imported here alone, in the trial's own process, and only for a gang. Rank 0 keeps the store (TCPStore) by
which they meet, on the port that its worker keeps for it; it also carries rank 0's word at each report to the others.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from celeriac.domain.states import Fault
from celeriac.trial import OWN_PROCESS_GROUP
from worker.process.failure import from_words
from worker.process.objective import Unusable

#: All members have their job by then; a slow import of the others is waited for.
MEET = timedelta(minutes=5)
LOOK = timedelta(seconds=1)


class Words:
    """What rank 0 was told at each report, for the others: through the store, so that nothing else is delayed."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def say(self, step: int, word: str) -> None:
        """Rank 0: this is what the report of that step led to."""
        self._store.set(f"word/{step}", word)
        self._store.set("newest", str(step))

    def hear(self, step: int) -> str | None:
        """Another rank: wait until rank 0 has reported this step; None where it has passed it over."""
        key = f"word/{step}"
        while True:
            try:
                self._store.wait([key], LOOK)
                return str(self._store.get(key).decode())
            except RuntimeError:  # DistStoreError: nothing yet, or rank 0 is gone
                with suppress(RuntimeError):
                    if not self._store.check(["newest"]) or int(self._store.get("newest")) <= step:
                        continue
                    return str(self._store.get(key).decode()) if self._store.check([key]) else None
                return None  # rank 0 has ended, well or not: so does this process, with its round

    def agree(self, rank: int, start: int) -> None:
        """Refuse to go on from another step than rank 0. Raises Unusable."""
        if rank == 0:
            self._store.set("start", str(start))
        elif (theirs := int(self._store.get("start"))) != start:
            raise Unusable(
                from_words(Fault.INFRASTRUCTURE, f"rank {rank} resumes at step {start}, rank 0 at {theirs}", "start")
            )


def enter(job: Mapping[str, Any], objective: Callable[..., Any]) -> Words | None:
    """Meet the others, whom the environment names by now; None where the objective does that itself.

    Raises Unusable, as infrastructure: no line of the user's was run.
    """
    if getattr(objective, OWN_PROCESS_GROUP, False):
        return None
    try:
        import torch
        import torch.distributed as dist
    except ImportError as error:
        detail = f"a trial on several slots needs torch, or @celeriac.own_process_group on its objective ({error})"
        raise Unusable(from_words(Fault.USER_BUG, detail, "torch")) from error
    rank, world, on_gpu = job["rank"], job["world"], job["device"] != "cpu"
    environment = job["environment"]
    try:
        store = dist.TCPStore(
            environment["MASTER_ADDR"], int(environment["MASTER_PORT"]), world, is_master=rank == 0, timeout=MEET
        )
        if on_gpu:
            torch.cuda.set_device(job["device"])
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=dist.PrefixStore("group", store),
            rank=rank,
            world_size=world,
        )
        words = Words(dist.PrefixStore("celeriac", store))
        words.agree(rank, job["start"])
    except (RuntimeError, ValueError) as error:
        from celeriac.decide.gang import NOT_MET  # no fork server has another use for what it brings

        detail = f"rank {rank} of {world} {NOT_MET}: {error}"
        raise Unusable(from_words(Fault.INFRASTRUCTURE, detail, "rendezvous")) from error
    return words
