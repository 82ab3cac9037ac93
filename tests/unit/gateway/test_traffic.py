"""Traffic tables, aliases, history and rollback over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.models.deployment import DeploymentStatus
from tests.unit.gateway.conftest import Platform

MODEL = "/mlops/models/m"
TRAFFIC = f"{MODEL}/traffic"
SPLIT = {"routes": [{"version": "3", "weight": 90}, {"version": "4", "weight": 10}]}


@pytest.fixture(autouse=True)
def deployed(platform: Platform) -> None:
    for version in ("2", "3", "4", "5"):
        platform.registry.register("m", version)
    for version in ("3", "4", "5"):
        platform.deploy("m", version)
    platform.registry.aliases["m", "champion"] = "3"


async def put(client: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    return await client.put(TRAFFIC, json=body, headers=headers)


async def history(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await client.get(f"{TRAFFIC}/history")).json()["changes"]


def shares(view: dict[str, Any]) -> list[tuple[str, str | None, float]]:
    return [(seen["model_version"], seen["alias"], seen["share"]) for seen in view["versions"]]


class TestTheTable:
    async def test_newest_version_answers_without_a_table(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(TRAFFIC)
        view = answer.json()
        assert (view["routes"], view["revision"], view["updated_by"]) == ([], 0, None)
        assert shares(view) == [("5", None, 1.0)]
        assert answer.headers["etag"].startswith('"0-')

    async def test_table_is_put_and_read(self, client: httpx.AsyncClient) -> None:
        table = {
            "routes": [{"alias": "champion", "weight": 90}, {"version": 4, "weight": 10}],
            "shadow": [5],
            "sticky": {"header": "X-User"},
        }
        answer = await put(client, table, **{"X-Raylift-Owner": "ann"})
        assert answer.status_code == 200, answer.text
        view = answer.json()
        assert view == (await client.get(TRAFFIC)).json()
        assert view["routes"] == [
            {"version": None, "alias": "champion", "weight": 90.0},
            {"version": "4", "alias": None, "weight": 10.0},
        ]
        assert (view["shadow"], view["sticky"]) == (["5"], {"header": "X-User", "field": None})
        assert (view["revision"], view["updated_by"]) == (1, "ann")
        assert shares(view) == [("3", "champion", 0.9), ("4", None, 0.1), ("5", None, 0.0)]
        assert [seen["shadow"] for seen in view["versions"]] == [False, False, True]

    async def test_answer_can_be_put_again(self, client: httpx.AsyncClient) -> None:
        view = (await put(client, {**SPLIT, "shadow": ["champion", "5"], "sticky": {"field": "params.user"}})).json()
        again = await put(client, {field: view[field] for field in ("routes", "shadow", "sticky")})
        assert again.json() == view

    async def test_route_may_name_an_alias(self, client: httpx.AsyncClient) -> None:
        view = (await put(client, {"routes": [{"version": "champion", "weight": 1}]})).json()
        assert shares(view) == [("3", "champion", 1.0)]

    async def test_share_of_an_unavailable_version_goes_to_the_others(
        self, client: httpx.AsyncClient, platform: Platform
    ) -> None:
        await put(client, {"routes": [{"version": version, "weight": 1} for version in "345"]})
        platform.store.deployments.want("m", "5", now=platform.lease.expires_at, wanted=False)
        view = (await client.get(TRAFFIC)).json()
        assert shares(view) == [("3", None, 0.5), ("4", None, 0.5), ("5", None, 0.0)]
        assert view["versions"][2]["status"] == "stopped"

    async def test_newest_version_answers_after_a_delete(self, client: httpx.AsyncClient) -> None:
        await put(client, SPLIT)
        view = (await client.delete(TRAFFIC)).json()
        assert (view["routes"], view["revision"]) == ([], 2)
        assert (await client.delete(TRAFFIC)).json()["revision"] == 2
        assert shares(view) == [("5", None, 1.0)]


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "field", "says"),
        [
            ({"routes": [{"version": "9", "weight": 1}]}, "routes[0].version", "no version 9"),
            ({"routes": [{"version": "2", "weight": 1}]}, "routes[0].version", "PUT /mlops/models/m/versions/2/deployment"),
            ({"routes": [{"alias": "nobody", "weight": 1}]}, "routes[0].alias", "PUT /mlops/models/m/aliases/nobody"),
            ({**SPLIT, "shadow": ["2"]}, "shadow[0].version", "not deployed"),
            ({"routes": [{"version": "3", "weight": 0}]}, "routes", "above 0"),
            ({"routes": [{"version": "3", "weight": -1}]}, "routes[0].weight", "greater than or equal to 0"),
            ({"routes": [{"version": "3", "weight": "9"}]}, "routes[0].weight", "number"),
            ({"routes": [{"weight": 1}]}, "routes[0]", "either version or alias"),
            ({"routes": [{"version": "3", "alias": "champion", "weight": 1}]}, "routes[0]", "either version or alias"),
            ({**SPLIT, "stick": {}}, "stick", "did you mean sticky"),
            ({**SPLIT, "sticky": {}}, "sticky", "header or field"),
        ],
    )
    async def test_wrong_tables_are_named(self, client: httpx.AsyncClient, body: Any, field: str, says: str) -> None:
        answer = await put(client, body)
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["field"] == field
        assert says in problem["detail"]

    async def test_route_to_an_unhealthy_version_is_refused(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "6", DeploymentStatus.UNHEALTHY, message="no module named torch")
        refused = await put(client, {"routes": [{"version": "3", "weight": 1}, {"version": "6", "weight": 1}]})
        assert "no module named torch" in refused.json()["errors"][0]["detail"]
        without_weight = await put(client, {"routes": [{"version": "3", "weight": 1}, {"version": "6", "weight": 0}]})
        assert without_weight.status_code == 200

    async def test_route_to_a_starting_version_is_accepted(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "6", DeploymentStatus.STARTING, replicas=0)
        assert (await put(client, {"routes": [{"version": "6", "weight": 1}]})).status_code == 200

    async def test_routes_to_versions_need_no_registry(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.registry.down = True
        assert (await put(client, SPLIT)).status_code == 200
        assert (await put(client, {"routes": [{"alias": "champion", "weight": 1}]})).status_code == 503

    @pytest.mark.parametrize("path", ["", "/history"])
    async def test_unknown_model_is_404(self, client: httpx.AsyncClient, path: str) -> None:
        answer = await client.get(f"/mlops/models/nope/traffic{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
        refused = await client.put("/mlops/models/nope/traffic", json=SPLIT)
        assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")

    async def test_put_with_an_old_revision_is_a_conflict(self, client: httpx.AsyncClient) -> None:
        seen = (await client.get(TRAFFIC)).headers["etag"]
        assert (await put(client, SPLIT, **{"If-Match": seen})).status_code == 200
        late = await put(client, {"routes": [{"version": "5", "weight": 1}]}, **{"If-Match": seen})
        assert (late.status_code, late.json()["code"], late.json()["revision"]) == (412, "traffic_changed", 1)
        odd = await put(client, SPLIT, **{"If-Match": "yesterday"})
        assert (odd.status_code, odd.json()["errors"][0]["field"]) == (422, "If-Match")

    async def test_malformed_owner_is_refused(self, client: httpx.AsyncClient) -> None:
        answer = await put(client, SPLIT, **{"X-Raylift-Owner": " "})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "X-Raylift-Owner")


class TestAliases:
    async def test_alias_is_moved(self, client: httpx.AsyncClient, platform: Platform) -> None:
        moved = await client.put(f"{MODEL}/aliases/champion", json={"version": 4}, headers={"X-Raylift-Owner": "ann"})
        assert moved.json() == {"model_name": "m", "alias": "champion", "version": "4", "previous_version": "3"}
        assert platform.registry.aliases["m", "champion"] == "4"
        change, first_seen = await history(client)
        assert (change["who"], change["action"], change["before_version"], change["after_version"]) == (
            "ann",
            "alias",
            "3",
            "4",
        )
        assert (first_seen["who"], first_seen["after_version"]) == ("mlflow", "3")

    async def test_moving_an_alias_to_its_version_changes_nothing(self, client: httpx.AsyncClient) -> None:
        await client.put(f"{MODEL}/aliases/champion", json={"version": "3"})
        assert [change["who"] for change in await history(client)] == ["mlflow"]

    async def test_alias_is_deleted(self, client: httpx.AsyncClient, platform: Platform) -> None:
        gone = await client.delete(f"{MODEL}/aliases/champion")
        assert (gone.status_code, gone.json()["version"], gone.json()["previous_version"]) == (200, None, "3")
        assert platform.registry.aliases == {}
        again = await client.delete(f"{MODEL}/aliases/champion")
        assert (again.status_code, again.json()["code"]) == (404, "version_not_found")

    async def test_alias_in_the_table_cannot_be_deleted(self, client: httpx.AsyncClient) -> None:
        await put(client, {"routes": [{"alias": "champion", "weight": 1}]})
        kept = await client.delete(f"{MODEL}/aliases/champion")
        assert (kept.status_code, kept.json()["code"]) == (409, "conflict")

    async def test_alias_in_the_table_moves_only_to_deployed_versions(
        self, client: httpx.AsyncClient, platform: Platform
    ) -> None:
        free = await client.put(f"{MODEL}/aliases/challenger", json={"version": "2"})
        assert free.status_code == 200
        await put(client, {"routes": [{"alias": "champion", "weight": 1}]})
        refused = await client.put(f"{MODEL}/aliases/champion", json={"version": "2"})
        assert refused.status_code == 422
        assert "PUT /mlops/models/m/versions/2/deployment" in refused.json()["detail"]
        assert platform.registry.aliases["m", "champion"] == "3"

    @pytest.mark.parametrize(
        ("alias", "version", "status"), [("latest", "3", 422), ("v3", "3", 422), ("champion", "99", 404), ("a b", "3", 422)]
    )
    async def test_wrong_alias_moves_are_refused(
        self, client: httpx.AsyncClient, alias: str, version: str, status: int
    ) -> None:
        assert (await client.put(f"{MODEL}/aliases/{alias}", json={"version": version})).status_code == status


class TestRollback:
    async def rolled_back(self, client: httpx.AsyncClient, body: Any = None, status: int = 200) -> dict[str, Any]:
        answer = await client.post(f"{MODEL}/rollback", json=body, headers={"X-Raylift-Owner": "ops"})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def test_rollback_restores_the_previous_table(self, client: httpx.AsyncClient) -> None:
        await put(client, SPLIT)
        await put(client, {"routes": [{"version": "5", "weight": 1}]})
        view = await self.rolled_back(client)
        assert ([route["version"] for route in view["routes"]], view["revision"]) == (["3", "4"], 3)
        change = (await history(client))[0]
        assert (change["who"], change["action"], change["revision"]) == ("ops", "rollback", 3)
        assert [route["version"] for route in change["before"]["routes"]] == ["5"]

    async def test_second_rollback_undoes_the_first(self, client: httpx.AsyncClient) -> None:
        await put(client, SPLIT)
        assert (await self.rolled_back(client))["routes"] == []
        assert len((await self.rolled_back(client))["routes"]) == 2

    async def test_rollback_to_a_revision(self, client: httpx.AsyncClient) -> None:
        for version in "345":
            await put(client, {"routes": [{"version": version, "weight": 1}]})
        view = await self.rolled_back(client, {"revision": 1})
        assert view["routes"][0]["version"] == "3"
        assert (await self.rolled_back(client, {"revision": 0}))["routes"] == []
        assert (await self.rolled_back(client, {"revision": 99}, 422))["errors"][0]["field"] == "revision"

    async def test_rollback_moves_an_alias_of_the_table_back(self, client: httpx.AsyncClient, platform: Platform) -> None:
        await put(client, {"routes": [{"alias": "champion", "weight": 1}]})
        await client.put(f"{MODEL}/aliases/champion", json={"version": "4"})
        await client.put(f"{MODEL}/aliases/archived", json={"version": "5"})
        view = await self.rolled_back(client)
        assert platform.registry.aliases == {("m", "champion"): "3", ("m", "archived"): "5"}
        assert shares(view) == [("3", "champion", 1.0)]
        change = (await history(client))[0]
        assert (change["who"], change["action"], change["alias"]) == ("ops", "rollback", "champion")

    async def test_rollback_of_an_alias_first_seen_in_the_table(self, client: httpx.AsyncClient, platform: Platform) -> None:
        await put(client, {"routes": [{"alias": "champion", "weight": 1}]})
        assert [change["action"] for change in await history(client)] == ["put", "alias"]
        platform.registry.aliases["m", "champion"] = "4"
        platform.store.traffic.observe(
            "m", "champion", "4", now=platform.lease.expires_at, known=platform.store.traffic.aliases("m")[0]
        )
        view = await self.rolled_back(client)
        assert shares(view) == [("3", "champion", 1.0)]

    async def test_rollback_of_a_table_with_a_new_alias(self, client: httpx.AsyncClient) -> None:
        await put(client, SPLIT)
        await put(client, {"routes": [{"alias": "champion", "weight": 1}]})
        assert [route["version"] for route in (await self.rolled_back(client))["routes"]] == ["3", "4"]

    async def test_rollback_of_a_named_alias(self, client: httpx.AsyncClient, platform: Platform) -> None:
        await client.put(f"{MODEL}/aliases/archived", json={"version": "4"})
        await client.put(f"{MODEL}/aliases/archived", json={"version": "5"})
        await put(client, SPLIT)
        await self.rolled_back(client, {"alias": "archived"})
        assert platform.registry.aliases["m", "archived"] == "4"
        assert (await self.rolled_back(client, {"alias": "a", "revision": 1}, 422))["errors"][0]["field"] == "alias"

    async def test_rollback_to_a_stopped_version_is_refused(self, client: httpx.AsyncClient, platform: Platform) -> None:
        await put(client, SPLIT)
        await put(client, {"routes": [{"version": "5", "weight": 1}]})
        platform.store.deployments.want("m", "3", now=platform.lease.expires_at, wanted=False)
        refused = await self.rolled_back(client, status=422)
        assert "not deployed" in refused["detail"]

    async def test_rollback_without_history_is_a_conflict(self, client: httpx.AsyncClient) -> None:
        assert (await self.rolled_back(client, status=409))["code"] == "conflict"
        assert (await client.post("/mlops/models/nope/rollback")).status_code == 404


class TestHistory:
    async def test_history_has_pages(self, client: httpx.AsyncClient) -> None:
        for version in "345":
            await put(client, {"routes": [{"version": version, "weight": 1}]})
        first = (await client.get(f"{TRAFFIC}/history?limit=2")).json()
        assert [change["sequence"] for change in first["changes"]] == [3, 2]
        rest = (await client.get(f"{TRAFFIC}/history?limit=2&before={first['next_before']}")).json()
        assert ([change["sequence"] for change in rest["changes"]], rest["next_before"]) == ([1], None)
        assert rest["changes"][0]["who"] == "local"
        assert (await client.get(f"{TRAFFIC}/history?limit=0")).status_code == 422
