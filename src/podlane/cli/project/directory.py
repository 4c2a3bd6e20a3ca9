"""The project directory as the compiler sees it: its files, its branch, and the compiled pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from podlane.cli import places
from podlane.cli.project.asked import Asked, current
from podlane.cli.project.checkout import DEFAULT_BRANCH, Checkout
from podlane.cli.project.context import Changes, context_of
from podlane.cli.project.history import History
from podlane.cli.project.includestore import IncludeStore, Locked
from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import FetchError, RemoteFile
from podlane.compiler.facts import Event
from podlane.compiler.output.compilation import Compilation

if TYPE_CHECKING:
    from podlane.cli.project.children import Child


class RemoteFetcher(Protocol):
    """Fetches included files from elsewhere."""

    def fetch(self, file: RemoteFile) -> tuple[Locked, bytes]:
        """Return a file and how to lock it."""
        ...


class ProjectFiles:
    """Reads from a directory; paths in a configuration are relative to it and stay inside."""

    def __init__(
        self,
        root: Path,
        main_file: Path,
        changes: Changes | None = None,
        store: IncludeStore | None = None,
        fetcher: RemoteFetcher | None = None,
    ) -> None:
        self._root = root
        self._main_file = str(main_file)
        self._checkout = Checkout(root)
        self._store = store
        self._fetcher = fetcher
        self._changes = changes or Changes(self._checkout, Asked())
        self._history = History(self._checkout, self.list_files)

    def read_local(self, path: str) -> bytes | None:
        """Return the file at ``path``; the main file may lie anywhere.

        Raises:
            FetchError: it exists and cannot be read, or it lies outside the project.
        """
        found = self._root / (path if path == self._main_file else path.lstrip("/"))
        if path != self._main_file and not found.resolve().is_relative_to(self._root.resolve()):
            raise FetchError(f"{path} is outside the project directory {self._root}")
        try:
            return found.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise FetchError(f"cannot read {path}: {error.strerror}") from error

    def list_files(self) -> Sequence[str]:
        """Return the files of the working tree, without what git ignores."""
        listed = self._checkout.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if listed is not None:
            return [name for name in listed.split("\0") if name]
        files = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
        return [str(path) for path in files if path.parts[0] != ".git"]

    def changed_files(self, compare_to: str | None) -> Sequence[str] | None:
        """Return what changed since ``compare_to``, or since what the event compares with."""
        return self._changes.files(compare_to)

    def object_id(self, path: str) -> str | None:
        """Return the id that git gives to what is at ``path`` in the working tree."""
        return self._history.object_id(path)

    def last_commit(self, path: str) -> str | None:
        """Return the last commit that touched ``path``, or an id of what is not committed there."""
        return self._history.last_commit(path)

    def read_remote(self, file: RemoteFile) -> bytes:
        """Return a locked file; nothing is fetched behind the user's back."""
        if self._store is None:
            self._store = IncludeStore(self._root, places.includes_dir())
        if self._fetcher is not None:
            entry, content = self._fetcher.fetch(file)
            self._store.put(entry, content)
            return content
        return self._store.read(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory and the main file of its configuration, relative to it where possible."""

    root: Path
    file: Path

    def compile(
        self,
        variables: Sequence[tuple[str, str]],
        *,
        fetcher: RemoteFetcher | None = None,
        store: IncludeStore | None = None,
    ) -> Compilation:
        """Compile the configuration for a pipeline with these variables, as the options ask for it.

        With a ``fetcher``, included files from elsewhere are fetched anew and put into ``store``.
        """
        return self.compile_all(variables, fetcher=fetcher, store=store)[0]

    def compile_all(
        self,
        variables: Sequence[tuple[str, str]],
        *,
        fetcher: RemoteFetcher | None = None,
        store: IncludeStore | None = None,
    ) -> tuple[Compilation, Iterator[Child]]:
        """Return the compilation, as ``compile`` does, and the children that are known before a run.

        A child is compiled when the iterator comes to it.
        """
        checkout, asked = Checkout(self.root), current()
        files = ProjectFiles(self.root, self.file, Changes(checkout, asked), store, fetcher)
        context = context_of(checkout, asked, str(self.file), variables)
        compilation = compile_pipeline(str(self.file), files, context)
        pipeline = compilation.pipeline
        if pipeline is None or not any(job.bridge for job in pipeline.jobs):
            return compilation, iter(())
        from podlane.cli.project.children import known

        return compilation, known(pipeline, files, context)

    def includes(self) -> IncludeStore:
        """Return the locked files from elsewhere."""
        return IncludeStore(self.root, places.includes_dir())

    def ref(self) -> str:
        """Return the ref that was asked for, or that is checked out; ``main`` without either."""
        asked, checkout = current(), Checkout(self.root)
        found = checkout.tag() if asked.event == Event.TAG else checkout.branch()
        return asked.ref or found or DEFAULT_BRANCH

    def is_tag(self) -> bool:
        """Whether the pipeline is one for a tag."""
        return current().event == Event.TAG


def here(file: Path) -> Project:
    """Return the project of the current directory."""
    root = Path.cwd()
    if file.is_absolute() and file.is_relative_to(root):
        file = file.relative_to(root)
    return Project(root=root, file=file)
