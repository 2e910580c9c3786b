"""The dashboard as an application for `streamlit run`: Streamlit's own, with its quirks mended."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.pages_manager import PagesManager
from streamlit.starlette import App

from frontend import parts
from frontend.routes import ROUTES

# Else the page of a link is looked for below that link, at /runs/_stcore/health, before it is
# looked for at the root; the browser reports each of these as an error.
_BASE = b"<script>window.__streamlit = {BACKEND_BASE_URL: location.origin + '/'}</script>"
_BEFORE, _END = b"<script", b"</body>"
# The pages with charts, and the script that draws them: fetched and run while the page still waits
# for its first data, in place of afterwards.
_CHARTED = tuple(f"/{ROUTES[name].path}" for name in ("run", "compare", "experiment"))
_CHARTS = "static/js/ArrowVegaLiteChart.*.js"


class Rooted:
    """Tells the page that it is served from the root of its host."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        # As it is, so that the page can be changed.
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message = {}
        body = b""
        html = False

        async def changed(message: Message) -> None:
            nonlocal start, body, html
            if message["type"] == "http.response.start":
                kinds = MutableHeaders(raw=message["headers"]).get("content-type", "")
                html = kinds.startswith("text/html")
                start = message
                if not html:
                    await send(message)
                return
            if not html:
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            whole = body.replace(_BEFORE, _BASE + _BEFORE, 1)
            if scope["path"] in _CHARTED:
                whole = whole.replace(_END, _early() + _END, 1)
            found = MutableHeaders(raw=start["headers"])
            found["content-length"] = str(len(whole))
            await send(start)
            await send({"type": "http.response.body", "body": whole})

        page = "text/html" in dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        await self.app({**scope, "headers": headers} if page else scope, receive, changed)


@cache
def _early() -> bytes:
    """Runs the script of the charts early; nothing where Streamlit has no such file."""
    static = Path(streamlit.__file__).with_name("static")
    found = sorted(static.glob(_CHARTS))
    name = found[0].relative_to(static).as_posix() if len(found) == 1 else None
    return f"<script type='module'>import('./{name}')</script>".encode() if name else b""


# What pages import is imported now: nobody waits for it when the first page is opened.
for _module in walk_packages(parts.__path__, f"{parts.__name__}."):
    import_module(_module.name)

# Pages come from `st.navigation` alone. Before its first call Streamlit would take the folder
# pages/ for them, and run a page without its frame.
PagesManager.uses_pages_directory = False

app = App(Path(__file__).with_name("app.py"), middleware=[Middleware(Rooted)])
