"""A whole cluster in a network namespace of its own, for the scripts that test one.

Needs root, containerd, runc and iproute2. CORTEN names the binary, target/debug/corten otherwise; KEEP=1
leaves everything running.
"""
import json
import os
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORTEN = os.environ.get("CORTEN") or os.path.join(HERE, "target", "debug", "corten")
# Where install-test-tools puts kubectl if there is none that fits the server.
os.environ["PATH"] = os.path.join(HERE, "target", "tools", "kubectl") + os.pathsep + os.environ["PATH"]
ADDRESS = "192.0.2.10"  # RFC 5737: nobody's
# What anything may take on a slow machine; nothing here is measured.
PATIENCE = 120
# Of a disk that others fill, too, the tests need little.
EVICTION = "--eviction-hard=nodefs.available<256Mi,memory.available<64Mi"


def host_run(*command, check=True, stdin=None, timeout=PATIENCE):
    """Output of a command; without `check`, what it ended with, too."""
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if check else done


def eventually(what, check, patience=PATIENCE):
    """Waits until `check` gives something; says what it gave last otherwise."""
    deadline = time.monotonic() + patience
    while True:
        try:
            found = check()
            if found:
                return found
            last = found
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: {last}")
        time.sleep(0.2)


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def containers(cluster):
    """Every running container by its pod and name: its id, and how often it was started again."""
    pods = json.loads(cluster.kubectl("get", "pods", "-A", "-o", "json"))["items"]
    return {
        (pod["metadata"]["name"], status["name"]): (status["containerID"], status["restartCount"])
        for pod in pods
        for status in pod["status"].get("containerStatuses", [])
        if "running" in status["state"]
    }


class Cluster:
    """A cluster of one machine. As a context it exists from entering to leaving."""

    def __init__(self):
        self.namespace = f"corten-test-{os.getpid()}"
        # Short: sockets below it may have 107 bytes.
        self.root = tempfile.mkdtemp(prefix="ct-", dir="/tmp")
        os.rmdir(self.root)
        self.kubeconfig = os.path.join(self.root, "admin.kubeconfig")

    def __enter__(self):
        name = self.namespace
        for command in [
            ["ip", "netns", "add", name],
            ["ip", "-n", name, "link", "set", "lo", "up"],
            ["ip", "-n", name, "link", "add", "up0", "type", "veth", "peer", "name", "up1"],
            ["ip", "-n", name, "addr", "add", f"{ADDRESS}/24", "dev", "up0"],
            ["ip", "-n", name, "link", "set", "up0", "up"],
            ["ip", "-n", name, "link", "set", "up1", "up"],
            ["ip", "-n", name, "route", "add", "default", "via", "192.0.2.1"],
        ]:
            host_run(*command)
        os.environ["KUBECONFIG"] = self.kubeconfig
        return self

    def __exit__(self, *_):
        if os.environ.get("KEEP"):
            print(f"kept: root {self.root}, network namespace {self.namespace}")
            return
        if os.path.exists(self.root):
            self.run(CORTEN, "reset", f"--root={self.root}", check=False)
        host_run("ip", "netns", "delete", self.namespace, check=False)

    def inside(self, *command):
        """A command line that runs in the cluster's network namespace. Not `ip netns exec`, which mounts another
        /sys and hides the cgroups."""
        return ["nsenter", f"--net=/var/run/netns/{self.namespace}", "--", *command]

    def run(self, *command, **options):
        return host_run(*self.inside(*command), **options)

    def corten(self, *arguments):
        command, *rest = arguments
        return self.run(CORTEN, command, *rest[:1], f"--root={self.root}", *rest[1:])

    def up(self, *arguments, **options):
        command = [CORTEN, "up", "--detach", f"--root={self.root}", EVICTION, *arguments]
        done = self.run(*command, **options)
        told = done if isinstance(done, str) else done.stdout
        for line in told.splitlines():
            if line.startswith("warning: disk"):
                raise AssertionError(f"the node would take no pods: {line}")
        return done

    def kubectl(self, *arguments, **options):
        return self.run("kubectl", *arguments, **options)

    def pids(self):
        """What runs in this root but containers and containerd."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = open(f"/proc/{pid}/cmdline").read().split("\0")
            except OSError:
                continue
            if command[0] == CORTEN and f"--root={self.root}" in command:
                found.append(int(pid))
        return found

    def logs(self):
        """The last lines of what Corten's processes logged."""
        files = [os.path.join(self.root, "log", name + ".log") for name in ["server", "node"]]
        return "".join(host_run("tail", "-n20", file, check=False).stdout for file in files)
