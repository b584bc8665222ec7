"""Sample where a process spends its CPU, when this directory leads PYTHONPATH and BENCH_PROFILE names a file.

Each sample gives the CPU time that a thread has used since the last one (schedstat) to the stack it stands
in. On SIGUSR2 what was counted since the last time is written: `thread;module.function:line;… nanoseconds`.
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

SAMPLE_SECONDS = 0.002
# Or a thread is seen only where it lets go of the interpreter by itself: in its system calls.
SWITCH_SECONDS = 0.0001

Place = tuple[CodeType, int]


class Profiler:
    """Samples in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spent: Counter[tuple[str, tuple[Place, ...]]] = Counter()
        self._before: dict[int, int] = {}
        self._wanted = threading.Event()

    def start(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        signal.signal(signal.SIGUSR2, lambda *_: self._wanted.set())
        threading.Thread(target=self._run, name="profiler", daemon=True).start()

    def _run(self) -> None:
        while True:
            if self._wanted.is_set():
                self._wanted.clear()
                self._write()
            self._sample()
            time.sleep(SAMPLE_SECONDS)

    def _sample(self) -> None:
        frames = sys._current_frames()
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread is threading.current_thread():
                continue
            try:
                now = _used(thread.native_id or 0)
            except OSError:
                continue  # it has just ended
            spent = now - self._before.get(thread.native_id or 0, now)
            self._before[thread.native_id or 0] = now
            if spent:
                self._spent[thread.name, _stack(frame)] += spent

    def _write(self) -> None:
        lines = [
            f"{name};{';'.join(_label(*place) for place in stack)} {spent}\n"
            for (name, stack), spent in self._spent.items()
        ]
        self._spent.clear()
        part = self._path.with_suffix(".part")
        part.write_text("".join(lines))
        part.rename(self._path)


def _used(thread: int) -> int:
    """Give the nanoseconds of CPU that a thread has used."""
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])


def _stack(frame: FrameType | None) -> tuple[Place, ...]:
    places = []
    while frame is not None:
        places.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(places))


def _label(code: CodeType, line: int) -> str:
    path = code.co_filename.removesuffix(".py").split("/")
    return f"{'.'.join(path[-2:])}.{code.co_qualname}:{line}"


if os.environ.get("BENCH_PROFILE"):
    Profiler(Path(os.environ["BENCH_PROFILE"])).start()
