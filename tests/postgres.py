"A private PostgreSQL for the tests, from the binaries that are installed: its own folder, its own socket, gone afterwards."
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path


class Unavailable(Exception): "No PostgreSQL can be started here; the message says why."


def binaries():
    "The folder of PostgreSQL's programs, the newest version's if there are several."
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: float(Path(p).parts[-3]))
    path = found[-1] if found else shutil.which("initdb")
    if not path: raise Unavailable("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return Path(path).parent


def server_user():
    "PostgreSQL refuses to run as root: who runs it instead, as arguments for `subprocess`."
    if os.geteuid() != 0: return {}
    for name in ("postgres", "nobody"):
        try: entry = pwd.getpwnam(name)
        except KeyError: continue
        return dict(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])
    raise Unavailable("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


class Cluster:
    "A server with its data, with the settings given (`fsync=off`). `url(database)` reaches it over a socket in its folder."
    def __init__(self, *settings):
        self.programs, self.user = binaries(), server_user()
        self.settings = [word for setting in ("listen_addresses=", *settings) for word in ("-c", setting)]
        self.folder = Path(tempfile.mkdtemp(prefix="sm-pg-", dir="/tmp")) # a socket's path is at most 107 characters
        self.process = None
        if self.user: os.chown(self.folder, self.user["user"], self.user["group"])
        try:
            made = self._run("initdb", "-D", self.folder/"data", "-A", "trust", "-U", "smart_money", "-E", "UTF8", "--locale=C", "--no-sync")
            if made.returncode: raise Unavailable(f"initdb failed: {made.stderr.strip().splitlines()[-1:]}")
            self.start()
        except BaseException:
            self.close()
            raise

    def _run(self, program, *arguments):
        return subprocess.run([self.programs/program, *arguments], cwd=self.folder, capture_output=True, text=True, **self.user)

    def start(self, patience=30):
        "Start the server and wait until it answers; after a crash it recovers first."
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None: # also where the last server's children are not gone yet
                with open(self.folder/"log.txt", "a") as log:
                    self.process = subprocess.Popen([self.programs/"postgres", "-D", self.folder/"data", "-k", self.folder, *self.settings], cwd=self.folder, stdout=log, stderr=log, **self.user)
            if self._run("pg_isready", "-q", "-h", self.folder).returncode == 0: return
            time.sleep(.1)
        raise Unavailable(f"the server does not start: {(self.folder/'log.txt').read_text()[-300:]}")

    def kill(self):
        "End the server as a power cut would."
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def url(self, database="postgres"): return f"postgresql://smart_money@/{database}?host={self.folder}"

    def new_database(self, name):
        made = self._run("createdb", "-h", self.folder, "-U", "smart_money", name)
        assert made.returncode == 0, made.stderr
        return self.url(name)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT) # at once: the data are thrown away
            try: self.process.wait(20)
            except subprocess.TimeoutExpired: self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self): return self
    def __exit__(self, *exc): self.close()
