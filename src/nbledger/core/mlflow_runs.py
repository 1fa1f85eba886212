"""What can be done with a run that is there: tags, name, deletion and its undoing; and what it left in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbledger.core.mlflow import _translated
from nbledger.core.runrows import true_value

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
Listed = tuple[str, int | None, bool]
"""(path, size in bytes, whether it is a folder)"""


def deleted(run: Run) -> bool:
    """Whether it was deleted, recoverably, as MLflow does it."""
    return bool(run.info.lifecycle_stage == "deleted")


def set_tags(api: MlflowClient, uri: str, run_id: str, tags: Mapping[str, str | None]) -> None:
    """Set tags, at most 100 and all or none of them; those that are None are taken away where they are."""
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        given = [RunTag(key, value) for key, value in tags.items() if value is not None]
        if given:
            api.log_batch(run_id, tags=given)
        for key in (key for key, value in tags.items() if value is None):
            try:
                api.delete_tag(run_id, key)
            except MlflowException as err:
                if err.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise


def rename(api: MlflowClient, uri: str, run_id: str, name: str) -> None:
    with _translated(uri):
        api.update_run(run_id, name=name)


def delete(api: MlflowClient, uri: str, run_id: str) -> None:
    """Mark a run as deleted: nothing of it is removed until ``mlflow gc``."""
    with _translated(uri):
        api.delete_run(run_id)


def bring_back(api: MlflowClient, uri: str, run_id: str) -> None:
    with _translated(uri):
        api.restore_run(run_id)


def tied(
    api: MlflowClient,
    uri: str,
    experiments: Sequence[str],
    tag: str,
    run_id: str,
    limit: int,
    *,
    gone: bool = False,
) -> list[Run]:
    """Runs whose ``tag`` names this one, the oldest first; with ``gone`` the deleted ones instead."""
    from mlflow.entities import ViewType

    with _translated(uri):
        found = api.search_runs(
            list(experiments),
            f"tags.`{tag}` = '{run_id}'",
            run_view_type=ViewType.DELETED_ONLY if gone else ViewType.ACTIVE_ONLY,
            max_results=limit,
            order_by=["attributes.start_time ASC"],
        )
        return list(found)


def by_ids(api: MlflowClient, uri: str, experiments: Sequence[str], ids: Sequence[str]) -> dict[str, Run]:
    """{id: run} of those that the store has, deleted ones too."""
    from mlflow.entities import ViewType

    found: dict[str, Run] = {}
    wanted = [i for i in dict.fromkeys(ids) if i.isalnum()]
    with _translated(uri):
        for start in range(0, len(wanted), 100):
            listed = ", ".join(f"'{i}'" for i in wanted[start : start + 100])
            page = api.search_runs(
                list(experiments), f"attributes.run_id IN ({listed})", run_view_type=ViewType.ALL, max_results=100
            )
            found |= {str(run.info.run_id): run for run in page}
    return found


def artifacts(api: MlflowClient, uri: str, run_id: str, most: int) -> tuple[list[Listed], bool]:
    """Every artifact and folder, in depth, at most ``most`` of them, and whether that is all."""
    with _translated(uri):
        found: list[Listed] = []
        asked = iter(range(_MOST_FOLDERS))  # each is a question to the server
        for item in _below(api, run_id, "", 0, asked):
            if len(found) == most:
                return found, False
            found.append(item)
        return found, next(asked, None) is not None


def top(api: MlflowClient, uri: str, run_id: str) -> list[Listed]:
    """The artifacts and folders that are in no folder."""
    with _translated(uri):
        return [
            (str(item.path), None if item.file_size is None else int(item.file_size), bool(item.is_dir))
            for item in api.list_artifacts(run_id)
        ]


def inside(api: MlflowClient, uri: str, run_id: str, folder: str) -> list[Listed]:
    """The artifacts and folders that are in this folder; none where there is no such folder."""
    with _translated(uri):
        return [
            (str(item.path), None if item.file_size is None else int(item.file_size), bool(item.is_dir))
            for item in api.list_artifacts(run_id, folder)
        ]


_DEPTH, _MOST_FOLDERS = 40, 200


def _below(api: MlflowClient, run_id: str, folder: str, depth: int, asked: Iterator[int]) -> Iterator[Listed]:
    if next(asked, None) is None:
        return
    for item in sorted(api.list_artifacts(run_id, folder or None), key=lambda i: str(i.path)):
        yield str(item.path), None if item.file_size is None else int(item.file_size), bool(item.is_dir)
        if item.is_dir and depth < _DEPTH:  # a link to a folder above has no end
            yield from _below(api, run_id, str(item.path), depth + 1, asked)


def history(api: MlflowClient, uri: str, run_id: str, key: str) -> list[tuple[float, int, int]]:
    """All points (value, step, ms) of a metric of a run."""
    with _translated(uri):
        return [(float(m.value), int(m.step), int(m.timestamp)) for m in api.get_metric_history(run_id, key)]


Points = list[tuple[int, float, int]]
"""(step, value, ms)"""


def sampled(api: MlflowClient, uri: str, run_ids: Sequence[str], key: str, most: int) -> dict[str, Points]:
    """{run id: points of the metric ``key``, by step}, of each run about ``most`` spread evenly, the first and the last
    among them. The store does the sampling, as for MLflow's own charts; one that cannot gives all points.
    """
    found: dict[str, Points] = {}
    with _translated(uri):
        for start in range(0, len(run_ids), 100):  # as many as a server takes
            part = list(run_ids[start : start + 100])
            for run_id, point in _sampled(api, part, key, most):
                found.setdefault(run_id, []).append(point)
    return {
        run_id: sorted(((step, true_value(value), at) for step, value, at in points), key=lambda p: (p[0], p[2]))
        for run_id, points in found.items()
    }


def _sampled(
    api: MlflowClient, run_ids: list[str], key: str, most: int
) -> Iterator[tuple[str, tuple[int, float, int]]]:
    store: Any = vars(api)["_tracking_client"].store
    if hasattr(store, "get_metric_history_bulk_interval"):
        for found in store.get_metric_history_bulk_interval(run_ids, key, most, None, None):
            yield str(found.run_id), (int(found.step), float(found.value), int(found.timestamp))
        return
    told = _asked(store, run_ids, key, most) if hasattr(store, "get_host_creds") else None
    if told is None:
        for run_id in run_ids:
            for found in api.get_metric_history(run_id, key):
                yield run_id, (int(found.step), float(found.value), int(found.timestamp))
        return
    for one in told:
        yield str(one["run_id"]), (int(one.get("step", 0)), float(one["value"]), int(one["timestamp"]))


def _asked(store: Any, run_ids: list[str], key: str, most: int) -> list[dict[str, Any]] | None:
    """What a server answers to its own page; None where it has no such route."""
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        store.get_host_creds(),
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        "GET",
        params={"run_ids": run_ids, "metric_key": key, "max_results": most},
    )
    return list(answer.json().get("metrics", [])) if answer.status_code == 200 else None
