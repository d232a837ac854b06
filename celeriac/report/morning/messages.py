"""A morning as messages: JSON as Slack and its like take it, and a mail."""

from email.message import EmailMessage
from typing import Any

from celeriac.report.morning.lines import champion, cost, gain, lines, outcome
from celeriac.report.morning.night import Morning, SliceMorning, slice_text

#: Slack takes 50 blocks of 3,000 characters.
_MOST_SLICES, _MOST_CHARACTERS = 20, 2900


def slack(morning: Morning) -> dict[str, Any]:
    """For an incoming webhook: what to look at, then a few lines a slice."""
    head = f"{morning.schedule}, night {morning.night}: {outcome(morning)}"
    parts = [f"*{_safe(head)}*\n{_safe(cost(morning))}"]
    if morning.attention:
        notes = [
            f"• *{_safe(slice_text(each.slice))}* {each.kind}: {_safe(each.what)}\n`{each.command}`"
            for each in morning.attention
        ]
        parts.append(":warning: *Look at*\n" + "\n".join(notes))
    parts += [_of_slice(each) for each in morning.slices[:_MOST_SLICES]]
    if len(morning.slices) > _MOST_SLICES:
        parts.append(f"{len(morning.slices) - _MOST_SLICES} more slices: `celeriac morning {morning.schedule}`")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": part[:_MOST_CHARACTERS]}} for part in parts]
    return {"text": head, "blocks": blocks}


def mail(morning: Morning, sender: str, to: tuple[str, ...], message_id: str) -> EmailMessage:
    """The text as a mail; `message_id` is alike in every try, so that a second copy is known as one."""
    message = EmailMessage()
    message["Subject"] = f"{morning.schedule}, night {morning.night}: {outcome(morning)}"
    message["From"], message["To"], message["Message-ID"] = sender, ", ".join(to), message_id
    message["Date"] = morning.at
    message.set_content("\n".join(lines(morning)) + "\n")
    return message


def _of_slice(each: SliceMorning) -> str:
    told = [f"*{_safe(slice_text(each.slice))}*: {str(each.state).lower()}", _safe(champion(each))]
    if each.test is not None:
        told.append(f"gain {gain(each.test)}")
    return "\n".join([*told, f"_{_safe(each.reason)}_" if each.reason else ""]).strip()


def _safe(text: str) -> str:
    """As Slack wants what is no markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
