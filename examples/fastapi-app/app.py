"""The routes that the SDK calls and the provider's callback, on FastAPI: see README.md."""
import hashlib
import hmac
import logging
import os
import re
import secrets
from urllib.parse import urlencode, urljoin, urlsplit

import psycopg
import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

ORIGIN = os.environ.get("APP_ORIGIN", "http://127.0.0.1:8000")
RETURN_TO = os.environ.get("RETURN_TO", "/")
SERVICE_SECRET = os.environ["SERVICE_SECRET"]  # which your backend functions send
SECURE = ORIGIN.startswith("https:")
CALLBACK = "/api/external-auth/callback"
CONNECTOR = "/api/apps/{app}/app-user-auth/connectors/{id:path}"


def pool(role):
    return ConnectionPool(kwargs={"user": role, "row_factory": dict_row}, min_size=1, max_size=10, timeout=10)


# Two roles: people's own requests cannot read a token, whatever is wrong in here.
frontend = pool(os.environ.get("FRONTEND_ROLE", "app_frontend"))
backend = pool(os.environ.get("BACKEND_ROLE", "app_backend"))
app = FastAPI(openapi_url=None)  # no pages that list every route


class Refusal(Exception):
    sqlstate = "28000"


def bearer(header):
    match = re.fullmatch(r"Bearer (\S+)", header or "")
    return match and match[1]


def as_app_user(connections, jwt, query, values):
    """One statement for the person whom the JWT names; PostgreSQL verifies it. The app user ends with the transaction."""
    if not jwt:
        raise Refusal("there is no token that says who you are")
    with connections.connection() as connection:
        connection.execute("SELECT appuser_connectors.authenticate_app_user(%s)", [jwt])
        return connection.execute(query, values).fetchone()


def cookie_name(state):
    """A cookie for each flow, so that two tabs do not take each other's. On https no site beside this one can set it: "__Host-"."""
    return ("__Host-" if SECURE else "") + "connect-" + hashlib.sha256(state.encode()).hexdigest()[:16]


def cookie(request, name):
    """Not request.cookies, which has a name without the blanks that a browser sees in it."""
    found = re.search(rf"(?:^|; *){name}=([^;]*)", request.headers.get("cookie", ""))
    return found and found[1]


@app.middleware("http")
async def headers(request, call_next):
    response = await call_next(request)
    response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"})
    return response


@app.post(CONNECTOR + "/initiate")
def initiate(id: str, authorization: str = Header(None)):
    binding = secrets.token_urlsafe(32)
    url = as_app_user(frontend, bearer(authorization),
                      "SELECT appuser_connectors.connect_app_user(%s, return_to => %s, browser_binding => %s) AS url",
                      [id, RETURN_TO, binding])["url"]
    response = JSONResponse({"redirect_url": url})
    state = re.search(r"[?&]state=([^&#]+)", url)[1]  # some have it behind a #
    response.set_cookie(cookie_name(state), binding, path="/" if SECURE else CALLBACK,
                        max_age=900, httponly=True, samesite="lax", secure=SECURE)
    return response


@app.get(CONNECTOR + "/token")
def token(id: str, authorization: str = Header(None), on_behalf_of: str = Header(None)):
    if not hmac.compare_digest((bearer(authorization) or "").encode(), SERVICE_SECRET.encode()):
        raise Refusal("this route is for the service")
    return as_app_user(backend, bearer(on_behalf_of),
                       "SELECT access_token, connection_config FROM appuser_connectors.current_app_user_connection(%s)", [id])


@app.delete(CONNECTOR)
def disconnect(id: str, authorization: str = Header(None)):
    as_app_user(frontend, bearer(authorization), "SELECT appuser_connectors.disconnect_app_user(%s)", [id])
    return {}


@app.get(CALLBACK)
def callback(request: Request):
    query = request.query_params
    params = {name: values[0] if len(values) == 1 else values  # a repeated parameter is refused
              for name in query.keys() for values in [query.getlist(name)]}
    with backend.connection() as connection:
        row = connection.execute(
            "SELECT return_to, failure FROM appuser_connectors.oauth_callback(NULL, params => %s, browser_binding => %s)",
            [Jsonb(params), cookie(request, cookie_name(query.get("state", "")))]).fetchone()
    to = urlsplit(urljoin(ORIGIN, row["return_to"]))
    if row["failure"]:
        to = to._replace(query="&".join(filter(None, [to.query, urlencode({"failure": row["failure"]})])))
    return RedirectResponse(to.geturl(), status_code=303)


# docs/errors.md: what an application has to tell apart.
STATUS = {"22023": 400, "28000": 401, "54000": 409, "UC001": 404, "UC002": 409, "UC003": 503, "UC004": 502, "UC005": 400,
          "UC006": 404, "UC007": 503, "UC008": 503, "UC009": 503}


def refuse(request, error):
    status = STATUS.get(error.sqlstate, 503 if isinstance(error, psycopg.OperationalError) else 500)
    if status >= 500:
        logging.error("%s", error)
    known = error.sqlstate in STATUS
    message = "something went wrong" if not known else error.diag.message_primary if isinstance(error, psycopg.Error) else str(error)
    return JSONResponse({"error": {"code": error.sqlstate or str(status), "message": message}}, status_code=status)


app.add_exception_handler(Refusal, refuse)
app.add_exception_handler(psycopg.Error, refuse)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", urlsplit(ORIGIN).port or 8000)), access_log=False)
