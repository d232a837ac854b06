"""What is to be done of each promotion outside the database. Rule: it follows from the verdicts, so none is lost."""

from celeriac.domain.records import Delivery, DeliveryKind, NightReport, Publication
from celeriac.store.postgres.verbs import Verbs
from celeriac.store.refusals import unknown_promotion


class Deliveries(Verbs):
    """Verbs on deliveries."""

    def due_deliveries(self, limit: int = 100) -> list[Delivery]:
        self._rows("note_promotions")
        return self._all(Delivery, "due_deliveries", limit=limit)

    def claim_delivery(self, promotion: int, kind: DeliveryKind, for_s: float) -> bool:
        return bool(self._rows("claim_delivery", promotion=promotion, kind=kind, for_s=for_s))

    def end_delivery(self, promotion: int, kind: DeliveryKind, detail: str, again_s: float | None = None) -> None:
        self._rows("end_delivery", promotion=promotion, kind=kind, detail=detail, again_s=again_s)

    def deliveries(self, schedule: str, *, limit: int = 50) -> list[Delivery]:
        return self._all(Delivery, "deliveries_of", schedule=schedule, limit=limit)

    def due_night_reports(self, limit: int = 100) -> list[NightReport]:
        self._rows("note_nights")
        return self._all(NightReport, "due_night_reports", limit=limit)

    def claim_night_report(self, schedule: str, night: str, for_s: float) -> bool:
        return bool(self._rows("claim_night_report", schedule=schedule, night=night, for_s=for_s))

    def end_night_report(self, schedule: str, night: str, detail: str, again_s: float | None = None) -> None:
        self._rows("end_night_report", schedule=schedule, night=night, detail=detail, again_s=again_s)

    def night_reports(self, schedule: str, *, limit: int = 50) -> list[NightReport]:
        return self._all(NightReport, "night_reports", schedule=schedule, limit=limit)

    def publication(self, promotion: int) -> Publication:
        if found := self._one(Publication, "publication", promotion=promotion):
            return found
        raise unknown_promotion(promotion)
