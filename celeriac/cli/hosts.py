"""What a study's page says of its hosts: which code its trials ran, and which slots leave it to others."""

from celeriac.cli.text import counted
from celeriac.client.progress import Progress
from celeriac.client.service import Service
from celeriac.domain.records import StudyRecord


def told_of_code(client: Service, study: StudyRecord) -> list[str]:
    """One line where trials of more than one code are ranked together; none where all ran the same."""
    codes = client.study_of(study).codes()
    if len(codes) < 2:
        return []
    ran = "; ".join(
        f"{each.code} in {counted(each.trials, 'trial')} (numbers {each.first} to {each.last})" for each in codes
    )
    best_number = study.best_number
    attempts = [] if best_number is None else client.study_of(study).attempts_of([best_number])[best_number]
    best = next((each.fingerprint for each in attempts[-1:] if each.fingerprint), "")
    told = f" The best, trial {study.best_number}, ran {best.split()[0]}." if best else ""
    return [f"code: the trials did not all run the same, and are ranked together: {ran}.{told}"]


def told_of_slots(client: Service, progress: Progress) -> list[str]:
    """One line for each live slot that could run the study and takes no trial of it now."""
    aside = client.study_of(progress.study).aside(progress.slots)
    return [f"put aside: {worker}: {reason}" for worker, reason in aside]
