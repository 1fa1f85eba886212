"""Deploying to where nbledger does not serve itself: an image, a KServe cluster, an endpoint of SageMaker.

The files are copied and checked here, whatever is then built of them or sent; with ``dry`` nothing is copied, built or sent.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbledger.core import containers, files, mlflow, mlflow_sagemaker, modeldigest, serving, smoke
from nbledger.core import deploy as deploys
from nbledger.core import kserve as kserves
from nbledger.core.deploy import Chosen, Deployed
from nbledger.core.errors import Refused, ToolFailed, UsageError
from nbledger.core.project import Project
from nbledger.keeper.calls import Args, Progress

_WRITING = 600.0


def docker(project: Project, api: Any, chosen: Chosen, args: Args, progress: Progress | None) -> Deployed:
    """An image that serves the version: MLflow writes the Dockerfile, docker builds it; with ``output`` only what it is built from."""
    digest = deploys.expected(chosen, args.get("sha256"))
    image = containers.image_name(str(args.get("image") or kserves.name_of(chosen.model)))
    if ":" not in image.rpartition("/")[2]:
        image = f"{image}:{chosen.version}"
    base, env = args.get("base_image"), args.get("env_manager")
    if base:
        containers.image_name(str(base))
    output = Path(project.root, str(args["output"])) if args.get("output") else None
    labels = {
        "nbledger.model": chosen.model,
        "nbledger.version": chosen.version,
        "nbledger.model.digest": digest,
        "nbledger.run": chosen.run_id or "",
    }
    context = str(output) if output else "CONTEXT"
    if args.get("dry"):
        steps = [
            *_checking(chosen, digest),
            " ".join(serving.dockerfile("MODEL", context, env)[3:]),
            "give its Dockerfile a health check" + (f", and {base} to start from" if base else ""),
        ]
        if not output:
            steps.append(" ".join(containers.build_words("docker", context, image, labels)))
            steps += [f"docker push {image}"] if args.get("push") else []
        return _of(chosen, "docker", digest, steps=tuple(steps), dry=True)
    if output is not None and output.exists() and any(output.iterdir()):
        raise Refused(f"{args['output']} is not empty", "name a folder that is not there yet")
    if output is None:
        containers.docker()  # before anything is copied
    with _checked(project, api, chosen, digest, progress) as model:
        place = output or model.parent / "context"
        _dockerfile(model, place, env)
        if modeldigest.digest(place / containers.copied(place / "Dockerfile")) != digest:
            raise Refused("what MLflow copied into the build context is not what was checked")
        started = containers.pinned(place / "Dockerfile", str(base) if base else None)
        notes = (
            ()
            if "@sha256:" in started
            else (f"the image starts from {started}, which may change; --base-image pins it",)
        )
        if output is not None:
            return _of(
                chosen, "docker", digest, text=f"docker build --tag {image} {output}", files=(str(output),), notes=notes
            )
        _say(progress, 3, f"building {image}")
        try:
            told = containers.build(place, image, labels)
            if args.get("push"):
                _say(progress, 4, f"pushing {image}")
                told = containers.push(image)
        except ToolFailed as err:
            return _failed(chosen, "docker", digest, str(err))
        return _of(
            chosen,
            "docker",
            digest,
            endpoint=told if "@" in told else image,
            text=f"built {image}\n{told}",
            notes=notes,
        )


def kserve(project: Project, api: Any, chosen: Chosen, args: Args, progress: Progress | None) -> Deployed:
    """An ``InferenceService`` for the version, applied by kubectl; with ``output`` only written."""
    digest = deploys.expected(chosen, args.get("sha256"))
    image = str(args["image"]) if args.get("image") else None
    storage = None if image else kserves.storage_of(chosen.place, args.get("storage_uri"))
    wanted = kserves.Wanted(
        chosen.model,
        chosen.version,
        digest,
        chosen.run_id,
        storage,
        image,
        args.get("namespace"),
        args.get("canary"),
        str(args.get("cpu") or "1"),
        str(args.get("memory") or "2Gi"),
    )
    manifest = kserves.manifest(wanted)
    patience = float(args.get("probe") or 300.0)
    notes = (
        () if image else ("the cluster fetches the files itself and checks no digest; --image runs what was checked",)
    )
    output = Path(project.root, str(args["output"])) if args.get("output") else None
    if args.get("dry"):
        name = manifest["metadata"]["name"]
        after = [
            "kubectl apply --filename -",
            f"kubectl wait --for=condition=Ready --timeout={patience:.0f}s inferenceservice/{name}",
        ]
        steps = [*_checking(chosen, digest), *([f"write the manifest to {output}"] if output else after)]
        return _of(chosen, "kserve", digest, steps=tuple(steps), dry=True, manifest=manifest, notes=notes)
    if output is None:
        containers.kubectl()
    with _checked(project, api, chosen, digest, progress):
        pass
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(output, kserves.text(manifest))
        return _of(chosen, "kserve", digest, files=(str(output),), manifest=manifest, notes=notes)
    _say(progress, 3, "waiting until the cluster serves it")
    try:
        address = containers.apply(manifest, patience)
    except ToolFailed as err:
        failed = _failed(chosen, "kserve", digest, str(err))
        note = "KServe sends requests to the revision before until the new one is ready"
        return replace(failed, manifest=manifest, notes=(*notes, note))
    return _of(chosen, "kserve", digest, endpoint=address or None, manifest=manifest, notes=notes)


def sagemaker(project: Project, api: Any, chosen: Chosen, args: Args, progress: Progress | None) -> Deployed:
    """An endpoint of Amazon SageMaker that serves the version, by MLflow's deployment client."""
    digest = deploys.expected(chosen, args.get("sha256"))
    if not args.get("region"):
        raise UsageError("in which region?", "--region eu-central-1")
    wanted = mlflow_sagemaker.Endpoint(
        mlflow_sagemaker.name_of(chosen.model),
        str(args["region"]),
        args.get("image"),
        args.get("role"),
        args.get("bucket"),
        str(args.get("instance_type") or "ml.m5.large"),
        int(args.get("instances") or 1),
        float(args.get("probe") or 1200.0),
    )
    if args.get("dry"):
        told = json.dumps(mlflow_sagemaker.configuration(wanted), sort_keys=True)
        steps = [
            *_checking(chosen, digest),
            f"mlflow.deployments of sagemaker:/{wanted.region}: create or update the endpoint {wanted.name} with {told}",
            "ask the endpoint the model's own input example; if the answer is no good, serve what was served before",
            "remove the configuration before, and its models",
        ]
        return _of(chosen, "sagemaker", digest, steps=tuple(steps), dry=True)
    tags = {"nbledger.version": chosen.version, "nbledger.digest": digest, "nbledger.run": chosen.run_id or ""}
    with _checked(project, api, chosen, digest, progress) as model:
        asked = smoke.of_model(model, smoke.described(model))
        done = mlflow_sagemaker.deploy(model, wanted, asked, tags, lambda text: _say(progress, 3, text))
    where = f"sagemaker:/{wanted.region}/{wanted.name}"
    if not done.ok:
        back = f"{done.configuration} goes on serving" if done.configuration else "nothing is served"
        return replace(_failed(chosen, "sagemaker", digest, done.text), step=done.step, notes=(back,))
    notes = () if asked else ("the model has no input example: nothing was asked of it",)
    return _of(chosen, "sagemaker", digest, endpoint=where, notes=notes)


# ── what they share ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _checked(project: Project, api: Any, chosen: Chosen, digest: str, progress: Progress | None) -> Iterator[Path]:
    """The version's files in a folder of their own, if they are those of the digest."""
    _say(progress, 1, f"copying and checking the files of version {chosen.version}")
    scratch = Path(tempfile.mkdtemp(prefix="deploy-", dir=project.ensure_scratch()))
    try:
        yield deploys.fetched(project, api, chosen, digest, scratch / "model")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _dockerfile(model: Path, output: Path, env_manager: Any) -> None:
    """What MLflow writes into the build context: the Dockerfile, and its own copy of the model."""
    words = serving.dockerfile(str(model), str(output), str(env_manager) if env_manager else None)
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WRITING,
            check=False,
            cwd=model.parent,
            env=mlflow.persons_environment(),
        )
    except subprocess.TimeoutExpired as err:
        raise ToolFailed("mlflow models generate-dockerfile did not end") from err
    if done.returncode or not (output / "Dockerfile").is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ToolFailed(f"mlflow models generate-dockerfile failed: {(lines or ['no reason is known'])[-1][:300]}")


def _checking(chosen: Chosen, digest: str) -> list[str]:
    return [
        f"copy the files of version {chosen.version} from {chosen.place}",
        f"go on only if their digest is {digest}",
    ]


def _of(chosen: Chosen, target: str, digest: str, **more: Any) -> Deployed:
    serving_now = None if more.get("dry") else chosen.version
    return Deployed(
        True,
        chosen.model,
        chosen.version,
        chosen.alias,
        target,
        serving=serving_now,
        digest=digest,
        step="done",
        **more,
    )


def _failed(chosen: Chosen, target: str, digest: str, why: str) -> Deployed:
    return Deployed(
        False, chosen.model, chosen.version, chosen.alias, target, digest=digest, step="probe", text=why[:600]
    )


def _say(progress: Progress | None, done: int, text: str) -> None:
    if progress is not None:
        progress(done, 5, text)
