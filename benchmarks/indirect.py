"""The service with FastAPI running every route, for `benchmarks.overhead`. `python -m benchmarks.indirect`."""

from fastapi.routing import APIRoute

from service.__main__ import main
from service.http.direct_route import DirectRoute

if __name__ == "__main__":
    DirectRoute.is_for = lambda self, scope: False  # type: ignore[method-assign]
    DirectRoute.handle = APIRoute.handle  # type: ignore[method-assign]
    main()
