"""The outbox: what is to be done outside the database. Rule: it follows from verdicts and firings, so none is lost."""

from celeriac.domain.records import Delivery, Publication
from celeriac.store.postgres.verbs import Verbs
from celeriac.store.refusals import unknown_promotion


class Deliveries(Verbs):
    """Verbs on deliveries."""

    def due_deliveries(self, limit: int = 100) -> list[Delivery]:
        self._rows("note_promotions")
        self._rows("note_nights")
        return self._all(Delivery, "due_deliveries", limit=limit)

    def claim_delivery(self, delivery: int, for_s: float) -> int:
        found = self._rows("claim_delivery", delivery=delivery, for_s=for_s)
        return int(found[0]["tries"]) if found else 0

    def renew_delivery(self, delivery: int, number: int, for_s: float) -> bool:
        return bool(self._rows("renew_delivery", delivery=delivery, number=number, for_s=for_s))

    def end_delivery(self, delivery: int, number: int, detail: str, again_s: float | None = None) -> None:
        self._rows("end_delivery", delivery=delivery, number=number, detail=detail, again_s=again_s)

    def deliveries(self, schedule: str, *, limit: int = 50) -> list[Delivery]:
        return self._all(Delivery, "deliveries_of", schedule=schedule, limit=limit)

    def publication(self, promotion: int) -> Publication:
        if found := self._one(Publication, "publication", promotion=promotion):
            return found
        raise unknown_promotion(promotion)
