"""The application: the guard, the API, the pages and their files, in one place."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.templating import Jinja2Templates
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

from celeriac import __version__
from celeriac.client import Client
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from celeriac.web import api, flower, openapi, pages, problems
from celeriac.web.answers import Answers
from celeriac.web.api import metrics
from celeriac.web.auth import login
from celeriac.web.auth.failures import Failures
from celeriac.web.auth.guard import Guard
from celeriac.web.events import Hub
from celeriac.web.pages.following import Feeds

HERE = Path(__file__).parent


def create_app(settings: Settings, client: Client, store: WebStore) -> FastAPI:
    """The application over a client and the store below it; it closes neither."""
    app = FastAPI(
        title="Celeriac",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings, app.state.client, app.state.store = settings, client, store
    app.state.failures, app.state.hub, app.state.feeds = Failures(), Hub(store), Feeds()
    app.state.templates = Jinja2Templates(HERE / "templates")
    pages.prepare(app.state.templates, has_flower=bool(settings.flower_url))
    problems.install(app)
    app.include_router(login.router)
    app.include_router(api.router)
    app.include_router(metrics.router)
    app.include_router(flower.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> PlainTextResponse:
        """Whether this program lives; it asks nobody else."""
        return PlainTextResponse("ok\n")

    openapi.install(app)
    app.add_middleware(Answers, state=app)
    by_tls = settings.web_public_url.startswith("https://")
    app.add_middleware(Guard, state=app, most_bytes=settings.web_body_bytes, by_tls=by_tls)
    return app
