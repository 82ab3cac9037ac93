"""Attacks that a script may try on the platform, on other jobs and on the machine. Each only reads, or acts on decoys.

A script gets the places of things that it could find out by itself, as a JSON object in the variable ``TARGETS``. Its last line
of output is ``GOT: `` and a JSON list of what it got. A script that finds itself without ``no_new_privs`` does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BEGIN: Final = '''
import json, os, signal, socket, subprocess, sys, urllib.request
T = json.loads(os.environ["TARGETS"])
got = []
if "NoNewPrivs:\\t1" not in open("/proc/self/status").read():
    print("GOT:", json.dumps(["it is not confined"])); sys.exit()

def attempt(name, step):
    """Note ``name`` where the step is not refused."""
    try:
        found = step()
    except Exception:
        return None
    if found is not None and found is not False:
        got.append(name)
    return found

def read(path):
    with open(path, "rb") as file:
        return file.read(64) or None

def connect(port, host="127.0.0.1"):
    with socket.create_connection((host, port), 3):
        return True

def connect_by_path(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return True

def call(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
        return answer.read(64)

def status_of(pid, name):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name + ":"))

def own_processes():
    """This process, and those above it that are confined, too: a batch's program above its model's process."""
    own = [os.getpid()]
    filters = status_of(own[0], "Seccomp_filters")  # The platform's processes have fewer, also in a container.
    while status_of(own[-1], "NoNewPrivs") == "1" and status_of(own[-1], "Seccomp_filters") == filters:
        own.append(int(status_of(own[-1], "PPid")))
    return own[:-1]

def starter():
    """The platform's process that started all of this: the wrapper, or Ray's worker."""
    return int(status_of(own_processes()[-1], "PPid"))

def below(pid, top):
    """True for a process that ``top`` started, such as Python's resource tracker beside the process of a batch's model."""
    while pid > 1 and pid != top:
        try:
            pid = int(status_of(pid, "PPid"))
        except OSError:
            return False
    return pid == top

def others():
    top = own_processes()[-1]
    own = {int(name) for name in os.listdir("/proc") if name.isdigit() and below(int(name), top)}
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in own]
'''
_END: Final = '\nprint("GOT:", json.dumps(sorted(set(map(str, got)))))\n'


@dataclass(frozen=True)
class Attack:
    name: str
    """As in the table."""
    body: str
    of_models: bool = True
    """A model can try it, too."""

    @property
    def script(self) -> str:
        return _BEGIN + self.body + _END


ATTACKS: Final = (
    Attack(
        "store: read, write",
        """
for path in T["store"]:
    attempt("read " + path, lambda: read(path))
    attempt("opened for writing " + path, lambda: os.close(os.open(path, os.O_RDWR)) or True)
attempt("listed", lambda: "raylift.db" in os.listdir(T["state_dir"]))
""",
    ),
    Attack(
        "other attempts: attempt.json, work, source",
        """
for path in T["other_attempt"]:
    attempt("read " + path, lambda: read(path))
    attempt("opened for writing " + path, lambda: os.close(os.open(path, os.O_WRONLY)) or True)
attempts, other = os.path.split(T["other_folder"])
attempt("listed", lambda: other in os.listdir(attempts))
""",
    ),
    Attack(
        "its own attempt.json and progress.json",
        """
own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for name in ("attempt.json", "progress.json", "stop", "output.log"):
    attempt("read " + name, lambda: read(own + "/" + name))
    attempt("opened for writing " + name, lambda: os.close(os.open(own + "/" + name, os.O_WRONLY)) or True)
attempt("replaced its source", lambda: os.rename(own + "/source", own + "/was") or True)
""",
        of_models=False,
    ),
    Attack(
        "data of others: datasets, batches, counters, payload logs",
        """
for folder in T["data_folders"]:
    attempt("listed " + folder, lambda: os.listdir(folder) is not None)
    attempt("wrote into " + folder, lambda: open(folder + "/attack", "x").close() or True)
for path in T["data_files"]:
    attempt("read " + path, lambda: read(path))
    attempt("opened for writing " + path, lambda: os.close(os.open(path, os.O_WRONLY)) or True)
    attempt("followed a link to " + path, lambda: os.symlink(path, "way") or read("way"))
    attempt("removed a link", lambda: os.unlink("way") and False)
""",
    ),
    Attack(
        "its own dataset, of which the platform has the same bytes: written",
        """
path = os.environ["RAYLIFT_DATA_ROWS"]
attempt("its dataset is not there", lambda: read(path) is None)
attempt("changed the mode", lambda: os.chmod(path, 0o666) is None)
attempt("opened for writing", lambda: os.close(os.open(path, os.O_WRONLY)) or True)
attempt("cut", lambda: os.truncate(path, 0) is None)
attempt("replaced", lambda: os.rename(path, path + "-was") is None)
attempt("removed", lambda: os.unlink(path) is None)
attempt("added a file", lambda: open(os.path.dirname(path) + "/more", "x").close() or True)
attempt("linked into its work", lambda: os.link(path, "mine") is None)
""",
        of_models=False,
    ),
    Attack(
        "/proc of others: environ, mem, maps, fd, root",
        """
for pid in others():
    for name in ("environ", "mem", "maps"):
        attempt(f"read {name}", lambda: read(f"/proc/{pid}/{name}"))
    attempt("opened mem for writing", lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)) or True)
    for name in ("root", "cwd"):
        attempt(f"listed {name}", lambda: os.listdir(f"/proc/{pid}/{name}") or None)
    for number in range(10):
        attempt("saw an open file", lambda: os.readlink(f"/proc/{pid}/fd/{number}"))
""",
    ),
    Attack(
        "ptrace, process_vm_readv, limits of others",
        """
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
for pid in T["pids"]:
    attempt("attached", lambda: libc.ptrace(16, pid, 0, 0) == 0)
    attempt("read memory", lambda: libc.process_vm_readv(pid, 0, 0, 0, 0, 0) == 0 and libc.kcmp)
    attempt("set a limit", lambda: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)) and True)
""",
    ),
    Attack(
        "signals to the platform, its wrapper, a decoy of the same user",
        """
for pid in [starter(), *T["pids"], *T["decoys"]]:
    attempt(f"signal 0 to {pid}", lambda: os.kill(pid, 0) is None)
for pid in T["decoys"]:
    attempt("killed a decoy", lambda: os.kill(pid, signal.SIGKILL) is None)
""",
    ),
    Attack(
        "tokens and keys: of Ray, ingress, join and MLflow; secrets, settings",
        """
for path in T["tokens"]:
    attempt("read " + path, lambda: read(path))
attempt("a variable", lambda: [name for name in os.environ if name.startswith("RAY_")] or None)
""",
    ),
    Attack(
        "sockets by path: HAProxy's, Ray's",
        """
for path in T["sockets"]:
    attempt("connected to " + os.path.basename(path), lambda: connect_by_path(path))
""",
    ),
    Attack(
        "TCP ports of Ray, Serve, HAProxy, gRPC, PostgreSQL",
        """
for port in T["ports"]:
    attempt(f"connected to {port}", lambda: connect(port))
    attempt(f"connected to {port} by IPv6", lambda: connect(port, "::ffff:127.0.0.1"))
""",
    ),
    Attack(
        "the same ports by Fast Open, MPTCP, a child process",
        """
for port in T["ports"]:
    attempt(f"{port} by Fast Open", lambda: socket.socket().sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port)))
    attempt(f"{port} by MPTCP", lambda: socket.socket(2, socket.SOCK_STREAM, 262).connect(("127.0.0.1", port)) is None)
code = "import socket; socket.create_connection(('127.0.0.1', %d), 3)" % T["ports"][0]
attempt("by a child", lambda: subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0)
""",
    ),
    Attack(
        "API as another owner",
        """
attempt("listed jobs", lambda: call(T["api"] + "/mlops/training/jobs", **{"X-Raylift-Owner": "somebody"}))
attempt("read the health", lambda: call(T["api"] + "/readyz"))
""",
    ),
    Attack(
        "Ray: init, the supervisor killed for good",
        """
def kill():
    import ray
    ray.init(T["gcs"], namespace="raylift", log_to_driver=False)
    ray.kill(ray.get_actor("supervisor"), no_restart=True)
    return True
attempt("killed the supervisor", kill)
""",
    ),
    Attack(
        "files of registered models: read, overwritten",
        """
for path in T["models"]:
    attempt("read " + path, lambda: read(path))
    attempt("opened for writing " + path, lambda: os.close(os.open(path, os.O_RDWR)) or True)
""",
    ),
    Attack(
        "base environment and overlays: written",
        """
for folder in T["environments"]:
    place = os.path.join(folder, "raylift_attack.pth")
    attempt("wrote " + folder, lambda: open(place, "x").close() or os.unlink(place) or True)
attempt("wrote the wrapper", lambda: os.close(os.open(T["wrapper"], os.O_RDWR)) or True)
""",
    ),
    Attack(
        "modes and times of files of the same user (decoys)",
        """
for path in T["decoy_files"]:
    attempt("changed the mode", lambda: os.chmod(path, 0o600) is None)
    attempt("changed the times", lambda: os.utime(path, (1, 1)) is None)
    attempt("made a link", lambda: os.link(path, "linked") is None)
""",
    ),
    Attack(
        "the machine: password hashes, disks, kernel settings, home",
        """
for path in ("/etc/shadow", "/root/.bash_history", "/proc/kcore", "/dev/mem", *T["disks"]):
    attempt("read " + path, lambda: read(path))
attempt("opened a kernel setting", lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)) or True)
attempt("listed the home", lambda: os.listdir(T["home"]) or None)
quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
attempt("became root", lambda: subprocess.run(["su", "-c", "true"], **quiet).returncode == 0 and os.getuid() != 0)
""",
    ),
    Attack(
        "escape: mounts, namespaces, a set-uid program, io_uring",
        """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
attempt("mounted", lambda: libc.mount(b"none", os.environ["TMPDIR"].encode(), b"tmpfs", 0, None) == 0)
attempt("made an io_uring", lambda: libc.syscall(425, 1, ctypes.create_string_buffer(256)) >= 0)
attempt("made a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close() is None)
attempt("left by chroot", lambda: os.chroot("/") is None)
if os.fork() == 0:
    # A user namespace gives capabilities inside, and no path out.
    if libc.unshare(0x10000000) == 0:
        for path in T["store"]:
            attempt("read the store from a user namespace", lambda: read(path))
    os._exit(len(got) and 1)
attempt("a user namespace", lambda: os.waitstatus_to_exitcode(os.wait()[1]) != 0)
""",
    ),
)

MODEL: Final = f'''
import mlflow

BEGIN, END = {_BEGIN!r}, {_END!r}
ATTACKS = {{each_name: body for each_name, body in {[(each.name, each.body) for each in ATTACKS if each.of_models]!r}}}


class Attacks(mlflow.pyfunc.PythonModel):
    """Tries everything while it is loaded, and again while it predicts. Answers with what it got."""

    def load_context(self, context):
        import os

        self.at_load = [self.outcome(name) for name in ATTACKS] if "TARGETS" in os.environ else []

    def predict(self, context, model_input, params=None):
        import os

        names = list(model_input["text"])
        if names == ["where"]:
            return [os.environ.get("RAYLIFT_CONFINED_BY", "") if self.at_load else ""]
        if names == ["at load"]:
            return self.at_load
        return [self.outcome(name) for name in names]

    def outcome(self, name):
        import json, subprocess, sys

        if name.startswith("Ray"):
            # Its core may end the process that it is in.
            command = [sys.executable, "-c", BEGIN + ATTACKS[name] + END]
            try:
                said = subprocess.run(command, capture_output=True, text=True, timeout=25).stdout
            except subprocess.TimeoutExpired:
                return "[]"
            return said.rpartition("GOT: ")[2].strip() or "[]"
        found = {{}}
        try:
            exec(BEGIN + ATTACKS[name], found)
        except SystemExit:
            return json.dumps(["it is not confined"])
        return json.dumps(sorted(set(map(str, found["got"]))))


with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Attacks())
'''
"""Script that logs a model which attacks. It does nothing where it finds itself without ``no_new_privs``."""
