"""A room of MLflow's door: the ids of the runs that match a filter, without loading the runs.

``search_runs`` builds every run that matches, a second for a thousand. Where the store is a database of this machine, its
own clauses are asked for ids alone; they are not part of MLflow's API, so wherever they are missing ``search_runs`` itself
does the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nbledger.core import mlflow
from nbledger.core.mlflow import _translated
from nbledger.core.project import Project


def ids(project: Project, experiments: Sequence[str], text: str, order: Sequence[str], limit: int) -> list[str]:
    """Ids of the active runs of these experiments that match MLflow's filter ``text``, in MLflow's ``order``."""
    api, uri = mlflow.client(project), project.tracking_uri
    if not uri.startswith("sqlite:"):
        return [str(run.info.run_id) for run in mlflow.search(api, uri, experiments, text, order, limit)]
    with _translated(uri), mlflow.refusing(text):
        try:
            return _from_database(uri, experiments, text, order, limit)
        except (ImportError, AttributeError, TypeError):
            pass
    return [str(run.info.run_id) for run in mlflow.search(api, uri, experiments, text, order, limit)]


def pages(
    project: Project, experiments: Sequence[str], size: int, text: str = "", order: Sequence[str] = ()
) -> Iterator[list[Any]]:
    """All active runs of these experiments that match MLflow's filter ``text``, ``size`` at a time: the newest first, or in
    MLflow's ``order``.
    """
    api, uri = mlflow.client(project), project.tracking_uri
    sorting = list(order) or ["attributes.start_time DESC"]
    token = None
    while True:
        with _translated(uri), mlflow.refusing(text):
            page = api.search_runs(list(experiments), text, max_results=size, order_by=sorting, page_token=token)
        yield list(page)
        token = page.token
        if not token:
            return


def _from_database(uri: str, experiments: Sequence[str], text: str, order: Sequence[str], limit: int) -> list[str]:
    from mlflow.store.tracking import sqlalchemy_store as tables
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from mlflow.tracking._tracking_service.utils import _get_store
    from mlflow.utils.search_utils import SearchUtils
    from sqlalchemy import select

    store: Any = _get_store(uri)
    with store.ManagedSessionMaker() as session:
        parsed = SearchUtils.parse_search_filter(text)
        cases, sorting, joins = tables._get_orderby_clauses(list(order), session)  # noqa: SLF001
        found = tables._get_sqlalchemy_filter_clauses(parsed, session, store._get_dialect())  # noqa: SLF001
        attributes, others, datasets = found
        query = select(SqlRun.run_uuid, *cases)
        for other in others:
            query = query.join(other, other.c.run_uuid == SqlRun.run_uuid)
        for dataset in datasets:
            query = query.join(dataset, SqlRun.run_uuid == dataset.c.destination_id)
        for join in joins:
            query = query.outerjoin(join, join.c.run_uuid == SqlRun.run_uuid)
        query = query.filter(
            SqlRun.experiment_id.in_([int(each) for each in experiments]),
            SqlRun.lifecycle_stage == "active",
            *attributes,
        )
        rows = session.execute(query.distinct().order_by(*sorting).limit(limit)).all()
        return list(dict.fromkeys(str(row[0]) for row in rows))
