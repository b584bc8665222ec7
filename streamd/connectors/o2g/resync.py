"""Whose snapshots have come and whose have not; no I/O. O2G sends one for each user, and no end (1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Resync:
    """The snapshots of one channel: of each package with state, of each login that is monitored."""

    def __init__(self, expected: Mapping[str, frozenset[str]]) -> None:
        self._expected = expected
        self._awaited: dict[str, set[str]] = {}
        self._excused: set[tuple[str, str]] = set()

    @property
    def packages(self) -> list[str]:
        """Give the packages whose state is to be asked for."""
        return [package for package, logins in self._expected.items() if logins]

    def expected(self, package: str) -> frozenset[str]:
        """Give all logins of a package, whether their snapshots have come or not."""
        return self._expected.get(package, frozenset())

    def begin(self) -> None:
        """Await all of them, from now on."""
        self._awaited = {package: set(logins) for package, logins in self._expected.items()}
        self._excused.clear()

    def seen(self, package: str, login: str | None) -> bool:
        """Note that a state came; return whether it was awaited."""
        awaited = self._awaited.get(package)
        if awaited is None or login not in awaited:
            return False
        awaited.remove(login)
        return True

    def excuse(self, package: str, logins: Iterable[str]) -> None:
        """Await these no longer: the server will not give them."""
        for login in logins:
            self._awaited[package].discard(login)
            self._excused.add((package, login))

    def missing(self, package: str) -> list[str]:
        """Give the logins that are still awaited, sorted."""
        return sorted(self._awaited.get(package, ()))

    @property
    def is_complete(self) -> bool:
        """Tell whether none is awaited any more."""
        return not any(self._awaited.values())

    def __repr__(self) -> str:
        missing = {package: len(logins) for package, logins in self._awaited.items()}
        return f"Resync(missing={missing}, excused={len(self._excused)})"
