"""The contract of an attempt: names and formats that the platform and the wrapper share.

The platform imports this module; the wrapper imports nothing of the platform. Every job pays for its import, so it holds
constants and small functions, and imports nothing itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, NotRequired, TypedDict

# The wrapper's command.
WRAPPER_MODULE = "job_entrypoints.train"
ATTEMPT_DIR_OPTION = "--attempt-dir"
ADOPTED_JOB_PREFIX = "job_"
ORIGIN_RAY = "ray"
"""``origin`` of an attempt that was handed straight to Ray: it runs where it lies, in Ray's working directory."""

# Files and folders in an attempt's directory.
ATTEMPT_FILE = "attempt.json"
"""``AttemptRecord``: the wrapper's instructions. The platform writes it, or the wrapper of a job handed straight to Ray."""
PROGRESS_FILE = "progress.json"
"""``StartedRecord``, then ``FinishedRecord``; written by the wrapper."""
LIVE_USAGE_FILE = "usage.json"
"""``LiveUsageRecord``; written by the wrapper every two seconds while the script runs."""
STOP_FILE = "stop"
"""Its existence asks the wrapper to end the script, or not to start it. Its text is the reason."""
OUTPUT_FILE = "output.log"
"""The script's stdout and stderr, as they come."""
OUTPUT_TAIL_FILE = "output.tail"
"""The last part of a long output, until the script has ended."""
DATA_FOLDER = "data"
"""In the folder of a node for attempts: copies of datasets."""
RESULT_FOLDER = "result"
"""Files that become a version of the job's ``output_dataset``. The script's ``RESULT_VARIABLE`` names it."""
NOTES_FOLDER = "notes"
NOTES_FILE = f"{NOTES_FOLDER}/script.json"
"""Notes of the script's process to its monitor (attempt/notes.py), in a folder that a sandboxed script may write."""
SOURCE_FOLDER = "source"
WORK_FOLDER = "work"
TEMPORARY_FOLDER = "tmp"
BATCH_INPUT = "input"
"""In the directory of a batch: files that were uploaded."""
BATCH_WORK = "work"
"""In the directory of a batch: what outlives an attempt."""
CONTACT_FILE = "contact.json"
"""``ContactRecord``, in the platform's copy of an attempt on another node. Its time is that of the last message."""

# Messages of an attempt on a node without the attempt's directory (docs/adr/0043).
ATTEMPTS_PATH = "/mlops/attempts"
"""HTTP path on the gateway. Below it: ``{submission_id}/bundle`` and ``{submission_id}/report``."""
BUNDLE = "bundle"
"""GET: a tar of the attempt's directory, attempt.json last."""
REPORT = "report"
"""POST: ``ReportRecord`` as one line of JSON, then bytes of the log. The answer is an ``AnswerRecord``."""
DATA = "data"
"""GET ``data/{alias}?index=N&offset=N``: the bytes of a file of the attempt's data, until the script starts."""
RESULT = "result"
"""PUT ``result?path=PATH&offset=N``: bytes of a file of ``RESULT_FOLDER``, before the end of the attempt is reported.

The answer: ``{"have": bytes}``. With ``&is_file=false`` it is a link or no regular file, which no dataset takes.
"""
ATTEMPT_OVER = "attempt_over"
"""Code of the gateway's error for an attempt that does not count any more."""
ATTEMPT_TOKEN_HEADER = "X-Raylift-Attempt-Token"  # noqa: S105 - a name
NODE_HEADER = "X-Raylift-Node"
"""Host name of the node, in the request for the bundle."""
LOG_PORTION_BYTES = 1 << 20
"""Most bytes of the log in one message."""
CONTACT_SECONDS = 45.0
"""Default of ``contact_seconds``."""

# Isolation and network of an attempt.
SANDBOX = "sandbox"
"""The script reaches its own work, its data and MLflow."""
CLUSTER = "cluster"
"""The script runs as the platform's user and may use Ray."""
FULL_NETWORK = "full"
MLFLOW_ONLY = "mlflow-only"
NO_NETWORK = "none"

OVERLAY_READY_FILE = ".ok"
"""In an overlay: written last, as JSON ``{"lock": […], …}``."""
TRAINING_TABLE_FILE = "raylift_table.json"
"""Beside MLmodel: the schema of the table that the model was trained on."""
REFERENCE_PROFILE_FILE = "raylift_profile.json"
"""Beside MLmodel: what the columns and the target of the training looked like (tracking/reference_profile.py)."""
NOTEBOOK_MARK = "# raylift-notebook: "
"""Begins a script that was a notebook. JSON follows: its name, and the lines of each cell."""

# Environment variables.
JOB_ID_VARIABLE = "RAYLIFT_JOB_ID"
SUBMISSION_ID_VARIABLE = "RAYLIFT_SUBMISSION_ID"
INSTANCE_VARIABLE = "RAYLIFT_INSTANCE"
"""The platform that started a process; every process below it inherits it."""
ATTEMPTS_DIR_VARIABLE = "RAYLIFT_ATTEMPTS_DIR"
WORKING_DIRECTORY_VARIABLE = "RAYLIFT_WORKING_DIRECTORY"
"""The directory in which a job's Ray tasks and actors start (raylift/ray_internals/setup_worker.py)."""
OVERLAY_VARIABLE = "RAYLIFT_OVERLAY"
"""The directory of the job's overlay. A sandboxed job's wrapper runs in the base: an overlay may run code at a start."""
REFUSED_PORTS_VARIABLE = "RAYLIFT_REFUSED_PORTS"
"""TCP ports of the platform that builds of packages cannot reach, such as ``8000,20000-20999``."""
GATEWAY_VARIABLE = "RAYLIFT_GATEWAY_URL"
"""The gateway, for wrappers on nodes without the attempt's directory."""
NODE_DIRECTORY_VARIABLE = "RAYLIFT_NODE_DIR"
"""Folder of a node for attempts whose directory it does not see. Default: one in the folder for temporary files."""
RESULT_VARIABLE = "RAYLIFT_OUTPUT"
"""Folder for the files of a job that makes a dataset."""
GROUP_VARIABLE = "RAYLIFT_PLACEMENT_GROUP"
"""Ray's id, in hex, of the placement group of a job whose script may use Ray."""
GROUP_AMOUNTS_VARIABLE = "RAYLIFT_PLACEMENT_GROUP_AMOUNTS"
"""JSON: ``cpus`` and ``gpus`` of the whole group, ``part_cpus`` and ``memory_bytes`` of its largest parts."""
WORKER_SETUP_HOOK = "job_entrypoints.gang.worker.set_up"
"""Ray calls it in each worker process of such a job."""
WORKERS_VARIABLE = "RAYLIFT_WORKERS"
"""Number of a job's workers."""
WORKER_CPUS_VARIABLE = "RAYLIFT_WORKER_CPUS"
GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Variable of a script: the GPUs that it may use, by their ids. Empty: none."""
WORKER_GPUS_VARIABLE = "RAYLIFT_WORKER_GPUS"
STORAGE_VARIABLE = "RAYLIFT_STORAGE"
"""Path or URI of a folder of the job, the same in each attempt: ``storage_path`` for Ray Train."""
RAY_JOB_CONFIG_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray's own: a submission's runtime_env and metadata, as JSON."""

# Tags in MLflow.
TAG_JOB_ID = "raylift.job_id"
"""On every run, logged model and model version that a job made."""
TAG_ATTEMPT = "raylift.attempt"
"""On every run and logged model that a job made: the number of the attempt."""
TAG_JOB_RUN = "raylift.job_run"
"""On the job's run: the metrics that the script logged into it outside of a fit, as a JSON list, or ``ALL_METRICS``."""
ALL_METRICS = "*"
TAG_MODEL_CLASS = "raylift.model_class"
"""On a logged model: its class; of a wrapper, also the classes of the estimators in it (``GridSearchCV of SVC``)."""
CLASS_SEPARATOR = " of "
TAG_MODEL_KIND = "raylift.model_kind"
TAG_AUTOLOGGED = "raylift.autologged"
"""On a logged model: ``true`` or ``false``."""

# Values of TAG_MODEL_KIND.
KIND_PREDICTOR = "predictor"
"""A supervised model, or one of a library that has no other kinds."""
KIND_OTHER = "other"
"""A transformer, a clusterer, an outlier detector."""
KIND_BASELINE = "baseline"
"""A Dummy estimator."""

# Outcomes of an attempt.
EXITED = "exited"
SIGNALED = "signaled"
OUT_OF_MEMORY = "out_of_memory"
PROCESS_LIMIT = "process_limit"
DISK_LIMIT = "disk_limit"
STOPPED = "stopped"
ENVIRONMENT_ERROR = "environment_error"
DATA_ERROR = "data_error"
"""The bytes of a dataset are not those that were added, or the platform refuses them."""
WRAPPER_ERROR = "wrapper_error"
OVER_A_LIMIT = (OUT_OF_MEMORY, PROCESS_LIMIT, DISK_LIMIT)
OUTCOMES = (EXITED, SIGNALED, *OVER_A_LIMIT, STOPPED, ENVIRONMENT_ERROR, DATA_ERROR, WRAPPER_ERROR)

# Exit codes of the wrapper; otherwise it exits as its script did.
EXIT_WRAPPER_ERROR = 70
EXIT_NODE_NOT_PREPARED = 76
"""The node has neither the attempt's directory nor a way to fetch it. The wrapper's last line on stderr says why."""
EXIT_DATA_ERROR = 77
EXIT_ENVIRONMENT_ERROR = 78
EXIT_OVER_A_LIMIT = 137
EXIT_STOPPED = 143

NODE_NOT_PREPARED = "[raylift] not prepared:"
"""Begins the wrapper's last line on such a node: its name and the cause follow."""

ATTEMPT_MARK_BITS = 24
"""Low bits of a process mark: the attempt. Those above are the platform."""

if TYPE_CHECKING:

    class AttemptRecord(TypedDict):
        """attempt.json. The wrapper needs ``job_id`` and ``script``; the others have defaults (attempt/record.py)."""

        job_id: str
        submission_id: str
        attempt: int
        origin: NotRequired[str]
        """``ORIGIN_RAY``; absent where the platform prepared the attempt."""
        script: str
        """Its file name in ``source``."""
        script_path: NotRequired[str]
        """The file to run, if that is not the one in ``source``."""
        script_sha256: str
        command: NotRequired[str | None]
        """Run by a shell, in the place of a Python script."""
        args: list[str]
        environment: dict[str, str]
        """Empty again once the wrapper has read it."""
        masked: NotRequired[list[str]]
        """Variables whose values are secrets: they are masked in the output."""
        python_path: NotRequired[list[str]]
        """Folders for PYTHONPATH."""
        experiment_name: str
        model_name: str | None
        mlflow_url: str | None
        autolog: bool
        deploy: NotRequired[bool]
        tags: dict[str, str]
        """MLflow tags for the job's runs."""
        cpus: float
        """0: unknown, thread pools are left as they are."""
        memory_bytes: int
        """0: unknown, the script is held to a share of the machine."""
        gpus: float
        environment_lock: list[str]
        """Packages beyond the base environment, as pins."""
        in_overlay: NotRequired[bool]
        """Ray was asked to start the wrapper in the overlay of ``environment_lock``."""
        stop_grace_seconds: NotRequired[float]
        max_log_bytes: NotRequired[int]
        max_processes: NotRequired[int]
        """Processes and threads; 0: no limit."""
        max_scratch_bytes: NotRequired[int]
        """Bytes that it may write in its directory; 0: no limit."""
        nice: NotRequired[int]
        isolation: NotRequired[str]
        """``SANDBOX`` or ``CLUSTER``; absent: ``CLUSTER``."""
        isolation_required: NotRequired[bool]
        """Do not run the script where the machine cannot confine it."""
        network: NotRequired[str]
        """Network of a sandboxed script: ``FULL_NETWORK``, ``MLFLOW_ONLY`` or ``NO_NETWORK``."""
        readable_paths: NotRequired[list[str]]
        writable_paths: NotRequired[list[str]]
        batch_directory: NotRequired[str]
        """Directory of the batch: its script reads ``BATCH_INPUT`` and writes ``BATCH_WORK`` there, in every attempt."""
        protected_paths: NotRequired[list[str]]
        """Folders of the platform that stay closed, even if they lie in a readable one."""
        refused_ports: NotRequired[str]
        """TCP ports of the platform, such as ``8000,20000-20999``."""
        job_users: NotRequired[list[int]]
        """First number and count of the users for jobs, where the platform runs as root."""
        data: NotRequired[list[DataRecord]]
        """Datasets that the script may read."""
        data_cache: NotRequired[str]
        """Folder of the node for copies of datasets."""
        data_cache_bytes: NotRequired[int]
        """Size limit of the copies that no attempt uses."""
        makes_result: NotRequired[bool]
        """The script writes files to ``RESULT_FOLDER``."""
        contact_seconds: NotRequired[float]
        """On a node without the attempt's directory: the script ends after this time without an answer of the platform."""

    class DataRecord(TypedDict):
        """A version of a dataset, as an attempt gets it."""

        alias: str
        variable: str
        """Environment variable that gets the local path."""
        name: str
        version: int
        digest: str
        key: str
        """Name of its copies on nodes: the same for the same files."""
        single: str | None
        """Path of the only file; None: the variable names the folder."""
        source: str
        """Its origin, for MLflow."""
        files: list[DataFileRecord]

    class DataFileRecord(TypedDict):
        """A file of a dataset."""

        path: str
        sha256: str
        bytes: int
        local: NotRequired[str]
        """Its path on the platform's machine. Absent: the gateway has it."""
        is_ours: NotRequired[bool]
        """``local`` is the platform's own and never changes, so it may be linked."""

    class ReportRecord(TypedDict):
        """Message of an attempt's courier."""

        sent_at: float
        """Time on the node's clock, in seconds since the epoch."""
        offset: int
        """Position in the log of the bytes that follow."""
        progress: NotRequired[dict[str, Any] | None]
        """progress.json, if it has changed. Its end comes with the last bytes of the log."""
        usage: NotRequired[dict[str, Any] | None]
        """usage.json, if it has changed."""

    class AnswerRecord(TypedDict):
        """Answer of the platform to a message."""

        have: int
        """Bytes of the log that the platform has."""
        stop: str | None
        """Cause of a stop, perhaps empty; None while the script may run."""

    class ContactRecord(TypedDict):
        """contact.json."""

        host: str
        """Host name of the attempt's node."""
        limit_seconds: float
        """``contact_seconds`` of the attempt."""

    class UsageRecord(TypedDict):
        """Consumption of a script and of every process that it started."""

        cpu_seconds: float
        peak_memory_bytes: int
        wall_seconds: float
        memory_enforced_by: Literal["cgroup", "watchdog"] | None
        """None where no script ran."""
        cpu_enforced_by: Literal["cgroup", "affinity"] | None
        """None where the script may use every core."""
        isolated_by: NotRequired[list[str]]
        """Mechanisms that confined the script; empty for a job of the cluster."""

    class LiveUsageRecord(TypedDict):
        """usage.json: what the script and its processes use now."""

        at: float
        """Seconds since the epoch."""
        cpu_seconds: float
        cpus: float
        """CPUs in use since the record before."""
        memory_bytes: int
        processes: int

    class StartedRecord(TypedDict):
        """progress.json while the script runs. Times are seconds since the epoch."""

        state: Literal["started"]
        script_started_at: float
        wrapper_pid: int
        script_pid: int
        host: str

    class FinishedRecord(TypedDict):
        """progress.json of an attempt that is over. Its outcome is believed before Ray's."""

        state: Literal["finished"]
        outcome: str
        exit_code: int | None
        signal: int | None
        message: str | None
        held_by: str | None
        """Sentence on the threads that kept the process of a stopped script after its main thread had ended; else None."""
        tracking_uri: str | None
        library: str | None
        autolog_failure: str | None
        script_started_at: float | None
        finished_at: float
        usage: UsageRecord


def wrapper_command(attempt_dir: object) -> str:
    """The entrypoint of an attempt's Ray job."""
    return f"python -m {WRAPPER_MODULE} {ATTEMPT_DIR_OPTION} {attempt_dir}"


def attempt_token(key: str, submission_id: str) -> str:
    """The token of an attempt's messages. ``key`` is Ray's token, which every node has to join the cluster."""
    import hashlib
    import hmac

    return hmac.new(key.encode(), f"raylift attempt {submission_id}".encode(), hashlib.sha256).hexdigest()


def adopted_job_id(submission_id: str) -> str:
    """The job id of a submission that was handed straight to Ray."""
    return f"{ADOPTED_JOB_PREFIX}{submission_id}"


def platform_mark(instance: str) -> int:
    """The part of a process mark that all attempts of one platform share."""
    import zlib

    return 0x5241 << 24 | zlib.crc32(instance.encode()) >> 8


def attempt_mark(submission_id: str, instance: str) -> int:
    """The mark of an attempt's processes: a number below 2**63, inherited as a resource limit that Linux ignores."""
    import zlib

    return platform_mark(instance) << ATTEMPT_MARK_BITS | zlib.crc32(submission_id.encode()) >> 8


def submission_in(ray_job_config: str) -> str | None:
    """The submission id in the value of ``RAY_JOB_CONFIG_VARIABLE``; None where there is none."""
    import json

    try:
        config: Any = json.loads(ray_job_config)
        return config["metadata"]["job_submission_id"]
    except (ValueError, TypeError, KeyError):
        return None
