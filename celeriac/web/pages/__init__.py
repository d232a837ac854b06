"""The board: pages for people, drawn here and sent whole. Each page's data is in a view model of its own."""

from celeriac.web.pages.front import router as router
