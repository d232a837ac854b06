"""`/metrics` for Prometheus: the rows' figures and this process's own, behind a token with the scope `read`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from celeriac.runtime.metrics.serve import Collector, exposition
from celeriac.web.auth.principal import Reader

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, _: Reader) -> Response:
    """Prometheus' text format."""
    state = request.app.state
    if not hasattr(state, "metrics"):
        state.metrics = Collector(state.client.store.figures)
    body, content_type = exposition(state.metrics)
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
