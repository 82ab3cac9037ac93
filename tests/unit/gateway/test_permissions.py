"""Every route in keys mode: without a key, with wrong ones, of too small a role, and of another workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute

from job_entrypoints.contract import ATTEMPTS_PATH
from raylift.domain.access import LEAST_ROLE, Action, Principal, Role, may, new_token
from raylift.domain.job import JobState, Reason
from raylift.settings import PlatformSettings
from serve_apps.gateway.access.permissions import Permission, permission_of, require_permissions
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

UPLOAD = "/mlops/training/upload"
SCRIPT = {"script_content": "print(1)", "experiment_name": "demo"}
NOT_OURS = {"/openapi.json"}
"""FastAPI's own document. It is the same on every platform."""


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


def routes(keyed: KeyedPlatform) -> Iterator[tuple[str, str, Permission]]:
    """Yield method, path and permission of every HTTP route, with names in place of the path's parameters."""
    for route in every_route(keyed):
        if not isinstance(route, APIRoute):
            continue
        permission = permission_of(route)
        assert permission is not None, route.path
        path = route.path_format
        for name in route.param_convertors:
            path = path.replace(f"{{{name}}}", {"version": "1", "protocol": "gcs"}.get(name, f"no-{name}".replace("_", "-")))
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, path, permission


def every_route(keyed: KeyedPlatform) -> Iterator[Any]:
    """Yield all routes. FastAPI keeps the routers that an application includes."""
    for route in keyed.app.routes:
        router: APIRouter | None = getattr(route, "original_router", None)
        yield from router.routes if router is not None else (route,)


def test_route_without_a_permission_is_refused_at_the_start() -> None:
    router = APIRouter()

    @router.get("/open")
    def open_to_all() -> None: ...

    with pytest.raises(ValueError, match="/open says no permission"):
        require_permissions([router])


async def test_every_route_says_its_permission(keyed: KeyedPlatform) -> None:
    silent = {getattr(route, "path", "") for route in every_route(keyed) if permission_of(route) is None}
    assert silent == NOT_OURS
    kinds = {type(route) for route in every_route(keyed) if permission_of(route)}
    assert kinds == {APIRoute, APIWebSocketRoute}


async def test_openapi_document_has_no_other_routes(keyed: KeyedPlatform) -> None:
    described = keyed.app.openapi()["paths"]
    known = {route.path_format for route in every_route(keyed) if isinstance(route, APIRoute)}
    assert described
    assert set(described) <= known


@pytest.mark.parametrize("who", [None, "wrong", "not-a-key", "expired"])
async def test_no_route_but_public_ones_answers_without_a_valid_key(keyed: KeyedPlatform, who: str | None) -> None:
    keyed.tokens["wrong"] = new_token().text
    for method, path, permission in routes(keyed):
        answer = await keyed.send(who, method, path)
        if path.startswith(ATTEMPTS_PATH):
            # Wrappers have no key. The attempt's own token is checked by the service.
            assert answer.status_code == 401, (method, path)
        elif permission.action is Action.PUBLIC:
            assert answer.status_code not in {401, 403}, (method, path)
        else:
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("role", list(Role))
async def test_roles_reach_the_routes_of_the_table(keyed: KeyedPlatform, role: Role) -> None:
    for method, path, permission in routes(keyed):
        answer = await keyed.send(role.value, method, path)
        allowed = may(Principal("ann", role, "red"), permission.action)
        assert (answer.status_code != 403) is allowed, (method, path, answer.status_code, answer.text)


async def test_pages_of_other_sites_change_nothing_and_read_nothing(keyed: KeyedPlatform) -> None:
    page = {"Origin": "https://evil.example"}
    for method, path, _ in routes(keyed):
        # DNS rebinding: the page's own name leads to this machine.
        rebound = await keyed.send("admin", method, path, headers={"Host": "evil.example", **page})
        # In plain text, as Ray's clients expect it, or as problem+json.
        assert rebound.status_code == 403, (method, path)
        assert "does not answer for the host" in rebound.text, (method, path)
        if method == "GET":
            continue
        answer = await keyed.send("admin", method, path, headers=page)
        assert answer.status_code == 403, (method, path)
        assert "page of another site" in answer.text, (method, path)
    for method, path in (("GET", "/mlops/datasets"), ("OPTIONS", "/mlops/batches"), ("OPTIONS", "/mlops/webhooks")):
        answer = await keyed.send("admin", method, path, headers={**page, "Access-Control-Request-Method": "POST"})
        assert not [name for name in answer.headers if name.startswith("access-control-")], (method, path)


async def test_refusal_names_the_least_role(keyed: KeyedPlatform) -> None:
    answer = await keyed.send("viewer", "POST", UPLOAD, json=SCRIPT)
    assert answer.json() == answer.json() | {
        "status": 403,
        "code": "forbidden",
        "action": "submit",
        "role": "submitter",
        "detail": "This needs the role submitter; 'viewer' has viewer.",
    }
    assert LEAST_ROLE[Action.SUBMIT] is Role.SUBMITTER


async def test_key_limited_to_a_model_reaches_predictions_only(keyed: KeyedPlatform) -> None:
    for method, path, permission in routes(keyed):
        answer = await keyed.send("model", method, path)
        limited = permission.action not in {Action.PUBLIC, Action.IDENTIFY, Action.PREDICT}
        assert (answer.status_code == 403) is limited, (method, path, answer.status_code)


async def test_browsers_send_the_key_as_a_password(keyed: KeyedPlatform) -> None:
    answer = await keyed.http.get("/mlops/whoami", auth=("anything", keyed.tokens["submitter"]))
    assert answer.json()["name"] == "submitter"
    wrong = await keyed.http.get("/mlops/whoami", headers={"Authorization": "Basic %%%"})
    assert wrong.status_code == 401


async def upload(keyed: KeyedPlatform, who: str, **fields: Any) -> dict[str, Any]:
    answer = await keyed.send(who, "POST", UPLOAD, json=SCRIPT | fields)
    assert answer.status_code == 202, answer.text
    return answer.json()


class TestWorkspaces:
    async def test_job_belongs_to_the_caller(self, keyed: KeyedPlatform) -> None:
        made = await upload(keyed, "submitter")
        job = keyed.platform.store.jobs.get(made["job_id"])
        assert (job.spec.owner, job.spec.workspace) == ("submitter", "red")

    async def test_owner_of_a_header_is_ignored(self, keyed: KeyedPlatform) -> None:
        answer = await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT, headers={"X-Raylift-Owner": "boss"})
        assert keyed.platform.store.jobs.get(answer.json()["job_id"]).spec.owner == "submitter"

    async def test_job_of_another_workspace_is_not_found(self, keyed: KeyedPlatform) -> None:
        job_id = (await upload(keyed, "submitter"))["job_id"]
        for method, path, permission in routes(keyed):
            for named in ("no-job-id", "no-other-id", "no-job-or-submission-id"):
                if named in path and permission.of is not None:
                    answer = await keyed.send("other", method, path.replace(named, job_id))
                    assert answer.status_code == 404, (method, path, answer.text)
                    unknown = await keyed.send("other", method, path.replace(named, "job_0"))
                    if "diff" not in path:
                        assert answer.text.replace(job_id, "job_0") == unknown.text, (method, path)
        environment = await keyed.send("other", "GET", f"/mlops/environments/{job_id}")
        assert environment.status_code == 404
        assert keyed.platform.store.jobs.get(job_id).cancel_requested_at is None

    async def test_sweep_of_another_workspace_is_not_found(self, keyed: KeyedPlatform) -> None:
        sweep_id = (await upload(keyed, "submitter", sweep={"parameters": {"x": [1, 2]}}))["sweep_id"]
        for method, path, _ in routes(keyed):
            if "no-sweep-id" in path:
                answer = await keyed.send("other", method, path.replace("no-sweep-id", sweep_id))
                assert answer.status_code == 404, (method, path)
        assert (await keyed.send("viewer", "GET", f"/mlops/training/sweeps/{sweep_id}")).status_code == 200

    async def test_lists_show_the_workspace_and_admins_see_all(self, keyed: KeyedPlatform) -> None:
        await upload(keyed, "submitter", sweep={"parameters": {"x": [1]}})
        await upload(keyed, "other")
        for path, items, red in (
            ("/mlops/training/jobs", "jobs", 1),
            ("/mlops/training/sweeps", "sweeps", 1),
            ("/api/jobs/", None, 1),
        ):
            counts: dict[str, int] = {}
            for who in ("viewer", "other", "admin"):
                answer = (await keyed.send(who, "GET", path)).json()
                counts[who] = len(answer if items is None else answer[items])
            assert counts["viewer"] == red, path
            assert counts["admin"] == counts["viewer"] + counts["other"], path

    async def test_overview_counts_what_the_caller_sees(self, keyed: KeyedPlatform) -> None:
        job_id = (await upload(keyed, "submitter", model_name="churn"))["job_id"]
        await upload(keyed, "other")
        keyed.platform.registry.register("churn", "1")
        keyed.platform.deploy("churn", "1")
        keyed.platform.start(job_id)
        keyed.platform.move(keyed.platform.store.jobs.get(job_id), JobState.FAILED, reason=Reason.SCRIPT_ERROR, message="fell")
        seen = {who: (await keyed.send(who, "GET", "/mlops/overview")).json() for who in ("viewer", "other", "admin")}
        counts = {who: (of["jobs"]["queued"], of["jobs"]["failed"], of["deployments"]["ready"]) for who, of in seen.items()}
        assert counts == {"viewer": (0, 1, 1), "other": (1, 0, 0), "admin": (1, 1, 1)}
        assert [of["failures"] for of in seen.values()] == [{"script_error": 1}, {}, {"script_error": 1}]

    async def test_models_of_another_workspace_are_not_found(self, keyed: KeyedPlatform) -> None:
        await upload(keyed, "submitter", model_name="churn")
        keyed.platform.registry.register("churn", "1")
        keyed.platform.registry.register("shared", "1")
        keyed.platform.deploy("churn", "1")
        for method, path, permission in routes(keyed):
            if "no-name" in path or "no-model" in path:
                path = path.replace("no-name", "churn").replace("no-model", "churn")
                answer = await keyed.send("other", method, path)
                expected = 403 if not may(Principal("o", Role.DEPLOYER, "blue"), permission.action) else 404
                assert answer.status_code == expected or "environments" in path, (method, path, answer.text)
        body = {"model_name": "churn", "inputs": [[1]]}
        assert (await keyed.send("other", "POST", "/mlops/inference", json=body)).status_code == 404
        listed = (await keyed.send("viewer", "GET", "/mlops/models")).json()["models"]
        assert [model["model_name"] for model in listed] == ["churn"]
        assert (await keyed.send("other", "GET", "/mlops/models")).json()["models"] == []
        assert len((await keyed.send("admin", "GET", "/mlops/models")).json()["models"]) == 2
        for path in ("/mlops/deployments", "/v2/models", "/v1/models"):
            shown = {who: (await keyed.send(who, "GET", path)).text for who in ("viewer", "other", "model")}
            assert "churn" in shown["viewer"]
            assert "churn" not in shown["other"]

    async def test_name_of_a_model_is_taken_once(self, keyed: KeyedPlatform) -> None:
        await upload(keyed, "submitter", model_name="churn")
        answer = await keyed.send("other", "POST", UPLOAD, json=SCRIPT | {"model_name": "churn"})
        assert (answer.status_code, answer.json()["code"]) == (409, "model_taken")

    async def test_limited_key_does_not_see_other_models(self, keyed: KeyedPlatform) -> None:
        await upload(keyed, "submitter", model_name="fraud")
        for body in ({"model_name": "fraud", "inputs": [[1]]}, {"model_name": "nothing", "inputs": [[1]]}):
            assert (await keyed.send("model", "POST", "/mlops/inference", json=body)).status_code == 404

    async def test_idempotency_keys_are_of_the_workspace(self, keyed: KeyedPlatform) -> None:
        first = await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT, headers={"Idempotency-Key": "k"})
        again = await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT, headers={"Idempotency-Key": "k"})
        other = await keyed.send("other", "POST", UPLOAD, json=SCRIPT, headers={"Idempotency-Key": "k"})
        assert first.json()["job_id"] == again.json()["job_id"] != other.json()["job_id"]


async def test_ray_jobs_need_the_right_to_the_cluster(keyed: KeyedPlatform) -> None:
    body = {"entrypoint": "echo hello"}
    refused = await keyed.send("submitter", "POST", "/api/jobs/", json=body)
    assert refused.status_code == 403
    assert "need the role deployer" in refused.text
    sandboxed = body | {"metadata": {"raylift.isolation": "sandbox"}}
    assert (await keyed.send("submitter", "POST", "/api/jobs/", json=sandboxed)).status_code == 200
    assert (await keyed.send("deployer", "POST", "/api/jobs/", json=body)).status_code == 200


async def test_uploads_and_reruns_need_the_right_to_the_cluster(keyed: KeyedPlatform) -> None:
    clustered = SCRIPT | {"isolation": "cluster"}
    refused = await keyed.send("submitter", "POST", UPLOAD, json=clustered)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "raylift.isolation" in refused.json()["detail"]
    of_a_deployer = (await keyed.send("deployer", "POST", UPLOAD, json=clustered)).json()["job_id"]
    of_a_submitter = (await upload(keyed, "submitter"))["job_id"]
    rerun = "/mlops/training/jobs/{}/rerun"
    assert (await keyed.send("submitter", "POST", rerun.format(of_a_deployer))).status_code == 403
    assert (
        await keyed.send("submitter", "POST", rerun.format(of_a_deployer), json={"isolation": "sandbox"})
    ).status_code == 202
    assert (
        await keyed.send("submitter", "POST", rerun.format(of_a_submitter), json={"isolation": "cluster"})
    ).status_code == 403


async def test_uploads_and_reruns_need_the_right_to_promote(keyed: KeyedPlatform) -> None:
    promoting = SCRIPT | {"model_name": "churn", "promote": {"alias": "champion", "when": "auc > 0.8"}}
    refused = await keyed.send("submitter", "POST", UPLOAD, json=promoting)
    assert (refused.status_code, refused.json()["role"]) == (403, "deployer")
    assert "moves the alias 'champion'" in refused.json()["detail"]
    job_id = (await upload(keyed, "deployer", **promoting))["job_id"]
    assert (await keyed.send("submitter", "POST", f"/mlops/training/jobs/{job_id}/rerun")).status_code == 403
    assert (await keyed.send("deployer", "POST", f"/mlops/training/jobs/{job_id}/rerun")).status_code == 202


async def test_websocket_of_a_log_asks_for_a_key(keyed: KeyedPlatform) -> None:
    job_id = (await upload(keyed, "submitter"))["job_id"]
    path = f"/api/jobs/{job_id}/logs/tail"

    for token, expected in (
        (None, 401),
        ("wrong", 401),
        (keyed.tokens["other"], 404),
        (keyed.tokens["expired"], 401),
    ):
        assert await denial(keyed, path, token) == expected


async def denial(keyed: KeyedPlatform, path: str, token: str | None) -> int | None:
    """Return the status with which the WebSocket is refused; None where it is accepted."""
    authorization = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *authorization],
        "client": ("127.0.0.1", 1),
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"} if not sent else {"type": "websocket.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await keyed.app(scope, receive, send)
    return sent[0].get("status")


async def test_revoked_key_is_refused(keyed: KeyedPlatform) -> None:
    key_id = keyed.tokens["viewer"].split("_")[1]
    assert (await keyed.send("viewer", "GET", "/mlops/whoami")).status_code == 200
    assert (await keyed.send("admin", "DELETE", f"/mlops/keys/{key_id}")).json()["revoked_at"] is not None
    assert (await keyed.send("viewer", "GET", "/mlops/whoami")).status_code == 401


async def test_created_key_works_and_is_shown_once(keyed: KeyedPlatform) -> None:
    fields = {"name": "ann", "role": "submitter", "workspace": "green", "expires_days": 1}
    made = await keyed.send("admin", "POST", "/mlops/keys", json=fields)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    me = (await keyed.send(made.json()["key"], "GET", "/mlops/whoami")).json()
    assert (me["name"], me["role"], me["workspace"], me["auth"]) == ("ann", "submitter", "green", "keys")
    listed = await keyed.send("admin", "GET", "/mlops/keys")
    assert made.json()["key"] not in listed.text
    assert "sha256" not in listed.text
    stored = keyed.platform.store.keys.get(made.json()["key_id"])
    assert made.json()["key"] not in repr(stored)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a b"},
        {"workspace": "../x"},
        {"models": ["a/b"]},
        {"expires_days": 0},
        {"role": "root"},
        {"secret": "x"},
    ],
)
async def test_wrong_key_is_refused(keyed: KeyedPlatform, wrong: dict[str, Any]) -> None:
    answer = await keyed.send("admin", "POST", "/mlops/keys", json={"name": "ann", **wrong})
    assert answer.status_code == 422


async def test_rotated_keys_both_work(keyed: KeyedPlatform) -> None:
    key_id = keyed.tokens["submitter"].split("_")[1]
    made = (await keyed.send("admin", "POST", f"/mlops/keys/{key_id}/rotate")).json()
    assert (made["name"], made["role"], made["workspace"]) == ("submitter", "submitter", "red")
    for token in ("submitter", made["key"]):
        assert (await keyed.send(token, "GET", "/mlops/whoami")).status_code == 200
    at_once = (await keyed.send("admin", "POST", f"/mlops/keys/{made['key_id']}/rotate", json={"grace_hours": 0})).json()
    assert (await keyed.send(made["key"], "GET", "/mlops/whoami")).status_code == 401
    assert (await keyed.send(at_once["key"], "GET", "/mlops/whoami")).status_code == 200


async def test_pages_of_mlflow_are_at_the_platform(keyed: KeyedPlatform) -> None:
    assert (await keyed.send("viewer", "GET", "/mlops/overview")).json()["mlflow_pages"] == "/mlflow"
