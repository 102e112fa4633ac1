"""The ceiling: an endpoint that reads the request's body and answers `{}`, whatever is asked. No work, no storage."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def answer(request: Request) -> JSONResponse:
    """Read the whole body, as every server must, and answer an empty object."""
    await request.body()
    return JSONResponse({})


app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
