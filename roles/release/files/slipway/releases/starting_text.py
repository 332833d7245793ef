"""The text that `start` is made of: Python of the release, each part with what starting.py puts into its braces."""

HEAD = '''\
#!{venv}/bin/python
"""Starts release {release}; with a name, what else of it runs. slipway wrote this: a change of it is lost."""

import os
import sys

VENV = {venv!a}
# By the names of their units.
COMMANDS = {commands!a}
MIGRATIONS = {migrations!a}


def words(command):
    return [os.path.join(VENV, "bin", command[0]), *command[1:]]


def become(command, more):
    command = words([*command, *more])
    os.execv(command[0], command)
'''
SERVE = '''

def serve():
    options = dict(
{options}    )
{check}    import uvicorn

{ahead}    load_at_once()
    tell_systemd()
    uvicorn.run(**options)
{listening}

def load_at_once():
    """An application that is loaded stays: to look for garbage in it meanwhile is an eighth of a worker's start."""
    import gc

    import uvicorn

    def at_once(load):
        def loading(config):
            gc.disable()
            try:
                return load(config)
            finally:
                gc.freeze()
                gc.enable()

        return loading

    # Where there is one process, a newer uvicorn loads it by the second ahead of the first.
    for name in ("load", "load_app"):
        if hasattr(uvicorn.Config, name):
            setattr(uvicorn.Config, name, at_once(getattr(uvicorn.Config, name)))


def tell_systemd():
    """Started is what took its settings."""
    import socket

    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.sendto(b"READY=1", "\\0" + address[1:] if address.startswith("@") else address)
'''
# A socket that an earlier start left there would be in the way: nobody answers at it.
LISTENING = """\


def where():
    path = os.environ.get({variable!a})
    if not path:
        return {{"host": "0.0.0.0", "port": {port}}}
    if os.path.exists(path):
        os.unlink(path)
    return {{"uds": path, "forwarded_allow_ips": "*"}}
"""
# uvicorn's parent would end with 0 when its workers refuse the settings. Its import takes as long as the check does.
CHECK = """\
    import subprocess

    checking = subprocess.Popen(words({check!a}))
"""
WAIT = """\
    if status := checking.wait():
        print(f"The check of release {release} ended with {{status}}; nothing was started.", file=sys.stderr)
        sys.exit(status if status > 0 else 128 - status)
"""
AHEAD = """\
    left = load_ahead(options)
"""
# Where the settings are wrong and the import fails of it, the check says it better.
AHEAD_OF_CHECK = """\
    try:
        left = load_ahead(options)
    finally:
{wait}"""
# By which fab check-service knows it.
SHARED = "each worker imports it by itself."
APART = """\
    if left:
        load_apart(left)
"""
PRELOAD = '''

def load_ahead(options):
    """Imports the application once; workers are forks of this process then. Returns what stands against that."""
    import gc
    import importlib

    import uvicorn

    if os.environ.pop("SLIPWAY_APART", None):
        return []
    before = held()
    config = uvicorn.Config(**options)
    # Set up anew, it would silence the loggers that an import has made.
    uvicorn.Config.configure_logging = lambda config: None
    gc.disable()
    importlib.import_module(config.app.partition(":")[0])
    gc.freeze()
    gc.enable()
    if config.workers == 1:
        return []
    return sorted(held() - before) or fork_workers()


def held():
    """What a fork would share or lose: open files, and threads but the first."""
    found = {{"a thread" for _ in os.listdir("/proc/self/task")[1:]}}
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(name + ": " + os.readlink("/proc/self/fd/" + name))
        except FileNotFoundError:
            # By which this folder was read.
            pass
    return found


def fork_workers():
    """Has uvicorn fork its workers. Returns why it cannot be had to."""
    import atexit
    import multiprocessing
    import signal

    from uvicorn import _subprocess

    # As the application left them; uvicorn's parent has its own.
    found = {{number: signal.getsignal(number) for number in signal.valid_signals()}}
    handlers = {{number: handler for number, handler in found.items() if handler is not None}}

    class Worker(multiprocessing.get_context("fork").Process):
        def start(self):
            # What comes before run() would be taken by the parent's handlers, in a process that is not the parent.
            self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)
            try:
                super().start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

        def run(self):
            for number, handler in handlers.items():
                if signal.getsignal(number) != handler:
                    signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
            try:
                super().run()
            finally:
                atexit._run_exitfuncs()

    if not hasattr(_subprocess, "spawn"):
        return ["a uvicorn that starts its workers in another way"]
    _subprocess.spawn = type("Forking", (), {{"Process": Worker}})
    return []


def load_apart(left):
    """Begins again, without what was imported."""
    print(f"The import of {application} left {{', '.join(left[:5])}}: {shared}", file=sys.stderr, flush=True)
    os.environ["SLIPWAY_APART"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.argv])
'''
MAIN = """

# A worker imports this file, and is uvicorn's then.
if __name__ == "__mp_main__":
    load_at_once()
if __name__ == "__main__":
    # This folder is no place to import from; a setting may have kept it out already.
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    name, *more = sys.argv[1:] or [""]
{given}    if name in MIGRATIONS:
        become(MIGRATIONS[name], more)
{variables}    if not name:
        serve()
    elif name in COMMANDS:
        become(COMMANDS[name], more)
    else:
        sys.exit(f"Release {release} has no {{name!r}}; it has {{', '.join([*COMMANDS, *MIGRATIONS]) or 'nothing'}}.")
"""
