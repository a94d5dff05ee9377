"""The web demo: a local page that predicts a photograph with a running server.

Only the page itself may send photographs: the header that it sets cannot be sent from another site, as this would
require permission by CORS.
"""

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lightmeter.images.geometry import Size
from lightmeter.project import Project
from lightmeter.serve.client import Client
from lightmeter.serve.web_demo.format import (
    display_box,
    format_target_setting,
    quantity_of_target,
    read_exif,
    target_title,
)
from lightmeter.web import local_app, page_routes, read_body

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "frame-ancestors 'none'"
)


def web_demo(project: Project, server: str) -> Starlette:
    """Create the demo page of a running server.

    Args:
        project: Project of the server.
        server: Name of the server.

    Raises:
        LightmeterError: The server is not running.
    """
    Client.connect(project, server).close()
    max_bytes = project.settings.serve.max_request_bytes

    async def endpoint(request: Request) -> Response:
        if request.headers.get("X-Lightmeter") != "page":
            raise HTTPException(403, "Only the demo page may send photographs.")
        image = await read_body(request, max_bytes)
        return JSONResponse(await run_in_threadpool(predict, project, server, image))

    routes = [*page_routes(Path(__file__).parent / "page"), Route("/predict", endpoint, methods=["POST"])]
    return local_app(routes, content_security_policy=_CONTENT_SECURITY_POLICY)


def predict(project: Project, server: str, image: bytes) -> dict[str, Any]:
    """Predict a photograph with every model of a server, and add what the page shows beside the predictions.

    Returns:
        The prediction of each model in ``models``, or the ``error`` if no model could predict the photograph.

    Raises:
        LightmeterError: The server is not running.
    """
    with Client.connect(project, server) as client:
        documents = [client.explain(name, image) for name in client.model_names]
    predicted = [document for document in documents if "error" not in document]
    if not predicted:
        return documents[0]
    exif, orientation = read_exif(image)
    for document in predicted:
        for target, prediction in document["predictions"].items():
            prediction |= {"title": target_title(target), "exif": exif.get(quantity_of_target(target))}
            if "number" in prediction:
                prediction["average"] = format_target_setting(target, prediction["number"])
        explanation = document.get("explanation", {"patches": []})
        for patch in explanation["patches"]:
            file_size = Size(explanation["width"], explanation["height"])
            patch["box"] = display_box(patch["box"], file_size, orientation)
    return {"models": predicted}
