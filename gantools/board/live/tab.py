"""The tab of spectra in TensorBoard: it serves the view and, to it, the numbers and pictures of the logs."""

from collections.abc import Callable, Mapping
from typing import Any

import werkzeug
from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from gantools.board.live import PLUGIN
from gantools.board.live.logs import Logs
from gantools.board.live.looks import stream
from gantools.board.live.page import script, style

Answer = Callable[[Any, Logs, Mapping[str, str]], Any]


class SpectraTab(base_plugin.TBPlugin):
    """TensorBoard's side of the live view.

    No path of a request names a file: what is served is one script, one style sheet, and what the data provider finds.
    """

    plugin_name = PLUGIN

    def __init__(self, context: base_plugin.TBContext):
        self._provider = context.data_provider

    def is_active(self) -> bool:
        """Leave it to TensorBoard, which shows the tab as soon as it has read numbers of ours."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Return where TensorBoard finds the script, and the name of the tab."""
        return base_plugin.FrontendMetadata(es_module_path="/view.js", tab_name="Spectra")

    def get_plugin_apps(self) -> dict[str, Any]:
        """Return the routes: the script and the style sheet, and what they ask for."""
        return {
            "/view.js": self._constant(script, "text/javascript"),
            "/view.css": self._constant(style, "text/css"),
            "/catalog": self._route(_catalog),
            "/numbers": self._route(_numbers, "run", "key"),
            "/scalars": self._route(_scalars, "run", "tag"),
            "/texts": self._route(_texts, "run", "tag"),
            "/pictures": self._route(_pictures, "run", "tag"),
            "/picture": self._route(_picture, "run", "tag", "step"),
        }

    def _constant(self, content: Callable[[], str], media: str) -> Any:
        @wrappers.Request.application
        def app(request: wrappers.Request) -> Any:
            return http_util.Respond(request, content(), media)

        return app

    def _route(self, answer: Answer, *names: str) -> Any:
        @wrappers.Request.application
        def app(request: wrappers.Request) -> Any:
            missing = [name for name in names if name not in request.args]
            if missing:
                return _refuse(request, f"The request names no {missing[0]}.", 400)
            environ = request.environ
            logs = Logs(self._provider, plugin_util.experiment_id(environ), plugin_util.context(environ))
            return answer(request, logs, request.args)

        return app


def _refuse(request: Any, sentence: str, code: int) -> werkzeug.Response:
    return http_util.Respond(request, sentence, "text/plain", code=code)


def _catalog(request: Any, logs: Logs, args: Mapping[str, str]) -> Any:
    return http_util.Respond(request, logs.catalog(), "application/json")


def _numbers(request: Any, logs: Logs, args: Mapping[str, str]) -> Any:
    looks = logs.looks(args["run"], args["key"])
    if looks is None:
        return _refuse(request, "There are no such numbers.", 404)
    return http_util.Respond(request, stream(looks), "application/octet-stream")


def _scalars(request: Any, logs: Logs, args: Mapping[str, str]) -> Any:
    found = logs.scalars(args["run"], args["tag"])
    if found is None:
        return _refuse(request, "There is no such scalar.", 404)
    return http_util.Respond(request, found.tobytes(), "application/octet-stream")


def _texts(request: Any, logs: Logs, args: Mapping[str, str]) -> Any:
    found = logs.texts(args["run"], args["tag"])
    if found is None:
        return _refuse(request, "There is no such text.", 404)
    return http_util.Respond(request, found, "application/json")


def _pictures(request: Any, logs: Logs, args: Mapping[str, str]) -> Any:
    return http_util.Respond(request, logs.picture_steps(args["run"], args["tag"]), "application/json")


def _picture(request: Any, logs: Logs, args: Mapping[str, str]) -> Any:
    try:
        found = logs.picture(args["run"], args["tag"], int(args["step"]))
    except ValueError:
        return _refuse(request, "The step is a whole number.", 400)
    if found is None:
        return _refuse(request, "There is no such picture.", 404)
    return http_util.Respond(request, *found, expires=3600)
