"""A request's body once more: whoever has read it to judge it hands it on to who answers."""

from starlette.types import Message, Receive


def body_again(body: bytes, receive: Receive) -> Receive:
    """What gives this body once, and then what comes after it: that the asker has gone."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
