"""Amazon SageMaker by MLflow's own deployment client. The endpoint that is there serves until the new version does.

MLflow updates the endpoint (SageMaker itself goes back where the new version does not come up) and keeps what was there before;
this module asks the new version its input example, sends everything back to the configuration before if the answer is no good,
and only then removes what is not served any more.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import smoke
from nbledger.core.errors import LedgerError, Refused, ToolFailed, UsageError
from nbledger.core.smoke import Smoke

_PAUSE = 5.0


@dataclass(frozen=True)
class Endpoint:
    """What an endpoint is to be: see ``mlflow.sagemaker``'s ``create_deployment`` for each."""

    name: str
    region: str
    image: str | None = None
    role: str | None = None
    bucket: str | None = None
    instance_type: str = "ml.m5.large"
    instances: int = 1
    patience: float = 1200.0


@dataclass(frozen=True)
class Result:
    """``configuration``: what serves now, ``before``: what did (None: there was no endpoint)."""

    ok: bool
    text: str
    step: str
    configuration: str | None
    before: str | None


def name_of(model: str) -> str:
    """A name that SageMaker takes: letters, digits and hyphens, at most 63, and short enough for what MLflow adds."""
    import hashlib

    if re.fullmatch(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,30}", model):
        return model
    words = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[:22].strip("-")
    return f"{words or 'model'}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def configuration(wanted: Endpoint) -> dict[str, Any]:
    """What MLflow's client is told."""
    told: dict[str, Any] = {
        "region_name": wanted.region,
        "image_url": wanted.image,
        "execution_role_arn": wanted.role,
        "bucket": wanted.bucket,
        "instance_type": wanted.instance_type,
        "instance_count": wanted.instances,
        "timeout_seconds": int(wanted.patience),
        "synchronous": True,
        "archive": True,
    }
    return {key: value for key, value in told.items() if value is not None}


def deploy(
    folder: Path, wanted: Endpoint, asked: Smoke | None, tags: dict[str, str], say: Callable[[str], None]
) -> Result:
    """Create or update the endpoint with the model in ``folder``."""
    client = _client("sagemaker", wanted.region)
    before = _serving(client, wanted.name)
    with _said():
        from mlflow.deployments import get_deploy_client

        tool = get_deploy_client(f"sagemaker:/{wanted.region}")
        told = configuration(wanted) | {"tags": tags}
        say("uploading the model and waiting for SageMaker")
        try:
            if before is None:
                tool.create_deployment(wanted.name, str(folder), config=told)
            else:
                tool.update_deployment(wanted.name, str(folder), config=told | {"mode": "replace"})
        except Exception as err:
            words = " ".join(str(err).split())[:300]
            return Result(False, f"SageMaker: {words}", "probe", _serving(client, wanted.name), before)
        now = _serving(client, wanted.name)
        say("asking the endpoint the model's own input example")
        if asked is not None and (wrong := _wrong(wanted, asked)):
            back = _back(client, wanted.name, now, before)
            return Result(False, wrong, "smoke", back, before)
        if before is not None and before != now:
            _remove(client, before)
    return Result(True, "", "done", now, before)


def _wrong(wanted: Endpoint, asked: Smoke) -> str:
    try:
        told = _client("sagemaker-runtime", wanted.region).invoke_endpoint(
            EndpointName=wanted.name, ContentType="application/json", Body=asked.body.encode()
        )
        return smoke.wrong_with(200, told["Body"].read(), asked.expected)
    except Exception as err:  # the model's own error comes as one of boto's
        return f"it does not answer its own input example: {' '.join(str(err).split())[:300]}"


def _back(client: Any, name: str, now: str | None, before: str | None) -> str | None:
    """Serve what was served before; where nothing was, nothing."""
    if before is None:
        client.delete_endpoint(EndpointName=name)
    elif before != now:
        client.update_endpoint(EndpointName=name, EndpointConfigName=before)
        client.get_waiter("endpoint_in_service").wait(EndpointName=name)
    if now is not None and now != before:
        _remove(client, now)
    return before


def _remove(client: Any, config: str) -> None:
    """A configuration that is not served, and its models. Their files stay in the bucket."""
    with contextlib.suppress(Exception):
        variants = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        client.delete_endpoint_config(EndpointConfigName=config)
        for one in variants:
            client.delete_model(ModelName=one["ModelName"])


def _serving(client: Any, name: str) -> str | None:
    """The configuration that the endpoint serves; None where there is no such endpoint."""
    from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

    with _said():
        try:
            return str(client.describe_endpoint(EndpointName=name)["EndpointConfigName"])
        except ClientError as err:
            if "Could not find" in str(err):
                return None
            raise


def _client(service: str, region: str) -> Any:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        raise UsageError(f"{region!r} is no region", "e.g. --region eu-central-1")
    try:
        import boto3  # type: ignore[import-untyped, unused-ignore]
    except ImportError as err:
        raise Refused("SageMaker needs boto3", "pip install 'nbledger[sagemaker]'") from err
    return boto3.client(service, region_name=region)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What AWS or MLflow's client says of a failure, in one line."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as err:
        raise ToolFailed(
            f"SageMaker: {' '.join(str(err).split())[:300]}", "check the credentials and the region"
        ) from err
