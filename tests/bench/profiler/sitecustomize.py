"""Sample where a process spends its CPU, when this directory leads PYTHONPATH and BENCH_PROFILE names a file.

Each sample gives the CPU time that a thread has used since the last one (schedstat) to the stack it stands
in. The file has lines `thread;module.function:line;… nanoseconds`, as flame graphs take them; it is written
anew on each SIGUSR2.
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

_SECONDS = 0.002
# Or a thread is seen only where it lets go of the interpreter by itself: in its system calls.
_SWITCH_SECONDS = 0.0001


def _label(code, line):
    path = code.co_filename.removesuffix(".py").split("/")
    return f"{'.'.join(path[-2:])}.{code.co_qualname}:{line}"


def _used(native_id):
    with open(f"/proc/self/task/{native_id}/schedstat", "rb") as file:
        return int(file.read().split()[0])


def _stack(frame):
    labels = []
    while frame is not None:
        labels.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(labels))


def _sample(counts, before):
    time.sleep(_SECONDS)
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident)
        if frame is None or thread is threading.current_thread():
            continue
        try:
            now = _used(thread.native_id)
        except OSError:
            continue
        spent = now - before.get(thread.ident, now)
        before[thread.ident] = now
        if spent:
            counts[(thread.name, *_stack(frame))] += spent


def _run(path):
    sys.setswitchinterval(_SWITCH_SECONDS)
    counts = Counter()
    before = {}
    wanted = threading.Event()
    signal.signal(signal.SIGUSR2, lambda *_: wanted.set())
    counts_since = counts

    def loop():
        nonlocal counts_since
        while True:
            if wanted.is_set():
                wanted.clear()
                lines = [
                    f"{stack[0]};{';'.join(_label(*each) for each in stack[1:])} {spent}\n"
                    for stack, spent in counts_since.items()
                ]
                part = Path(f"{path}.part")
                part.write_text("".join(lines))
                part.rename(path)
                counts_since = Counter()
            _sample(counts_since, before)

    threading.Thread(target=loop, name="profiler", daemon=True).start()


if os.environ.get("BENCH_PROFILE"):
    _run(os.environ["BENCH_PROFILE"])
