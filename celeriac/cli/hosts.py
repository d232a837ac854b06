"""What a study's page says of its hosts: which code its trials ran, and which slots leave it to others."""

from celeriac.cli.text import counted
from celeriac.client.client import Client
from celeriac.client.progress import Progress
from celeriac.domain.records import StudyRecord


def told_of_code(client: Client, study: StudyRecord) -> list[str]:
    """One line where trials of more than one code are ranked together; none where all ran the same."""
    codes = client.store.codes(study.id)
    if len(codes) < 2:
        return []
    ran = "; ".join(
        f"{each.code} in {counted(each.trials, 'trial')} (numbers {each.first} to {each.last})" for each in codes
    )
    attempts = [] if study.best_number is None else client.store.attempts(study.id, study.best_number)
    best = next((each.fingerprint for each in attempts[-1:] if each.fingerprint), "")
    told = f" The best, trial {study.best_number}, ran {best.split()[0]}." if best else ""
    return [f"code: the trials did not all run the same, and are ranked together: {ran}.{told}"]


def told_of_slots(client: Client, progress: Progress) -> list[str]:
    """One line for each live slot that could run the study and takes no trial of it now."""
    of_study = (0, progress.study.id)
    return [
        f"put aside: {each.worker}: {each.reason}"
        for each in client.store.put_asides()
        if each.worker in progress.slots and each.study_id in of_study
    ]
