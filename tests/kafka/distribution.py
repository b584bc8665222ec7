"""Find a Java and the jars of Apache Kafka, and keep what is prepared once in a cache outside the checkout.

The cache is `$XDG_CACHE_HOME/streamd-tests/kafka-<hash of pom.xml>/`: `jars/` from Maven (43 MB), and per
Java version an empty formatted storage and an archive of loaded classes. With them a start takes 1.4 s and
180 MB, without 5.4 s and 300 MB.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
MINIMUM_JAVA = 17
JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN")


class Unavailable(Exception):
    """A real Kafka cannot be started on this machine; the text is the reason."""


@dataclass(frozen=True)
class Java:
    path: str
    version: str


@dataclass(frozen=True)
class Distribution:
    """The jars of one Kafka and the Java that runs them."""

    java: Java
    home: Path
    record_classes: Path | None = None  # where the JVM shall write an archive of its classes when it ends

    @property
    def storage_template(self) -> Path:
        return self.home / f"storage-{self.java.version}"

    @property
    def class_archive(self) -> Path:
        return self.home / f"classes-{self.java.version}.jsa"

    def command(self, main: str, *arguments: str) -> list[str]:
        """Return the command line that runs the class `main`."""
        # In a fixed order: the class archive is only valid for the very class path that it was made with.
        class_path = ":".join(sorted(str(jar) for jar in (self.home / "jars").glob("*.jar")))
        return [self.java.path, *JVM, *self._archive_options(), "-cp", class_path, main, *arguments]

    def _archive_options(self) -> list[str]:
        if self.record_classes is not None:
            return [f"-XX:ArchiveClassesAtExit={self.record_classes}"]
        return [f"-XX:SharedArchiveFile={self.class_archive}"] if self.class_archive.exists() else []


def pinned_version() -> str:
    """Return the version of Apache Kafka that pom.xml names."""
    version = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>(.+?)</version>", POM.read_text())
    assert version is not None
    return version[1]


def find_java() -> Java:
    """Return the Java of `$JAVA_HOME` or the path; raise Unavailable where there is none from 17 on."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin" if home else None)
    if path is None:
        raise Unavailable(f"no Java {MINIMUM_JAVA} or newer")
    said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    found = re.search(r'version "((\d+)[^"]*)"', said)
    if found is None or int(found[2]) < MINIMUM_JAVA:
        raise Unavailable(f"no Java {MINIMUM_JAVA} or newer ({path} is {found[1] if found else 'none'})")
    return Java(path, found[1])


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streamd-tests" / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}"


def look() -> Java:
    """Say quickly, without Maven, whether a real Kafka can be expected; raise Unavailable with the reason."""
    java = find_java()
    if not (cache() / "jars").is_dir() and shutil.which("mvn") is None:
        raise Unavailable(
            f"Java {java.version} is here, but no Maven to get Kafka's jars (and none are cached)"
        )
    return java


def distribution() -> Distribution:
    """Return a Kafka ready to be started, fetching and preparing it the first time; raise Unavailable."""
    kafka = Distribution(look(), cache())
    with only_one_at_a_time(kafka.home):
        if not (kafka.home / "jars").is_dir():
            _fetch_jars(kafka.home / "jars")
        if not kafka.storage_template.is_dir():
            _format_storage(kafka)
        return kafka


@contextmanager
def only_one_at_a_time(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_jars(target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("no Maven to get Kafka's jars")
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        goal = [
            "dependency:copy-dependencies",
            f"-DoutputDirectory={directory}/jars",
            "-DincludeScope=runtime",
        ]
        run = subprocess.run(
            [maven, "-q", "-B", "-f", str(POM), *goal],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if run.returncode:
            said = [line for line in (run.stdout + run.stderr).splitlines() if "ERROR" in line]
            raise Unavailable(f"Maven could not get Kafka's jars: {said[0] if said else run.returncode}")
        os.rename(f"{directory}/jars", target)


def _format_storage(kafka: Distribution) -> None:
    with tempfile.TemporaryDirectory(dir=kafka.home) as directory:
        properties = Path(directory) / "server.properties"
        storage = Path(directory) / "storage"
        properties.write_text(
            f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n"
            f"listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n"
            f"log.dirs={storage}\n"
        )
        arguments = ("format", "--cluster-id", "c3RyZWFtZC10ZXN0cy1rYQ", "--config", str(properties))
        run = subprocess.run(
            kafka.command("kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if run.returncode:
            raise Unavailable(f"Kafka could not format its storage: {(run.stdout + run.stderr)[-500:]}")
        os.rename(storage, kafka.storage_template)


def lay_out_storage(kafka: Distribution, node_id: int, directory: Path) -> None:
    """Make `directory` the formatted, empty storage of the broker `node_id`."""
    shutil.copytree(kafka.storage_template, directory)
    meta = directory / "meta.properties"
    # Kafka's Uuid: 16 bytes in base64 without padding; it must differ between the brokers of a cluster.
    directory_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    text = re.sub(r"(?m)^node\.id=.*$", f"node.id={node_id}", meta.read_text())
    meta.write_text(re.sub(r"(?m)^directory\.id=.*$", f"directory.id={directory_id}", text))


def write_properties(path: Path, properties: Mapping[str, object]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
