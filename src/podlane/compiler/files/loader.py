"""One file of a configuration: text to a tree, its header checked, its inputs filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from podlane.compiler.files import reader
from podlane.compiler.files.interpolation import MAX_ERRORS, Interpolator
from podlane.compiler.findings import Findings
from podlane.compiler.keywords import inputs
from podlane.compiler.source import Map, Mark, Node, Seq, text_of
from podlane.kit.diagnostics import has_errors
from podlane.kit.jsonvalue import Json


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a file is given: inputs, its component's facts; and how its errors begin, and where.

    ``shared`` reads the files of ``spec:include``; only the main file has it.
    """

    inputs: Mapping[str, Json] = field(default_factory=dict)
    component: Mapping[str, str | None] = field(default_factory=dict)
    mark: Mark | None = None
    prefix: str = ""
    shared: Callable[[Node, Mark | None], list[Map]] | None = None


@dataclass(slots=True)
class FileLoader:
    """Loads files; ``sources`` keeps their texts, ``masked`` are variables not to be written out."""

    findings: Findings
    variables: Mapping[str, str]
    sources: dict[str, str]
    masked: frozenset[str] = frozenset()
    has_references: bool = False
    total_bytes: int = 0

    def load(self, content: bytes | str, name: str, given: Arguments) -> tuple[Map, bool] | None:
        """Return the interpolated content of a file and whether it is empty; None when it is broken."""
        documents = self._documents(content, name, given)
        if documents is None:
            return None
        roots: list[Map] = []
        for document in documents:
            root = document.root
            if document.size > reader.MAX_BYTES:
                self.findings.error(
                    "yaml",
                    f"{given.prefix}The parsed YAML is too big",
                    given.mark,
                    "an anchor contains itself",
                )
                return None
            if not isinstance(root, Map):
                self.findings.error(
                    "yaml",
                    f"{given.prefix}Invalid configuration format",
                    root.at if isinstance(root, Seq) else given.mark,
                    "the file must be a mapping",
                )
                return None
            roots.append(root)
        self.has_references |= any(document.has_references for document in documents)
        header = roots[0] if len(roots) > 1 and "spec" in roots[0] else None
        # GitLab takes the last document after a header, and without one the first.
        root = Map() if not roots else roots[0] if header is None else roots[-1]
        for document in documents:
            self._warn_duplicates(document)
        filled = self._interpolate(root, header, given)
        return None if filled is None else (filled, not root)

    def load_inputs(self, content: bytes | str, name: str, given: Arguments) -> Map | None:
        """Return the inputs that a file of ``spec:include`` defines; None when it is broken."""
        loaded = self.load(content, name, given)
        if loaded is None:
            return None
        root, is_empty = loaded
        shown = given.prefix.removesuffix(": ")
        if is_empty:
            self.findings.error(
                "include", f"Included file {shown} does not have valid YAML syntax!", given.mark
            )
            return None
        others = [text_of(key) for key in root if key != "inputs"]
        defined = root.get("inputs")
        if others:
            self.findings.error(
                "include",
                f"Header include file {shown} contains unknown keys: {_symbols(others)}",
                root.key_at(others[0]) or given.mark,
                "a file for spec:include holds `inputs` and nothing else",
            )
            return None
        return defined if isinstance(defined, Map) else Map(root.at)

    def _documents(
        self, content: bytes | str, name: str, given: Arguments
    ) -> list[reader.Document] | None:
        try:
            text = content if isinstance(content, str) else content.decode("utf-8-sig")
            self.sources[name] = text
            self.total_bytes += len(text)
            return reader.read_documents(text, name)
        except UnicodeDecodeError as error:
            self.findings.error(
                "yaml", f"{given.prefix}{name} is not UTF-8 text (byte {error.start})", given.mark
            )
        except reader.YamlError as error:
            self.findings.error(
                "yaml", given.prefix + error.message, error.mark or given.mark, error.hint
            )
        return None

    def _warn_duplicates(self, document: reader.Document) -> None:
        for key, mark in document.duplicates:
            self.findings.warning(
                "duplicate-key",
                f"`{key}` is written twice; the last one counts",
                mark,
                "GitLab takes the last one silently",
            )

    def _interpolate(self, root: Map, header: Map | None, given: Arguments) -> Map | None:
        """Return the content with inputs filled in; None when an input has no value to fill in."""
        if header is None:
            if given.inputs:
                self.findings.error(
                    "inputs",
                    given.prefix + "Given inputs not defined in the `spec` section of the included "
                    "configuration file",
                    given.mark,
                    "add a header: `spec: {inputs: …}`, then a line with ---",
                )
                return root or None
            return root
        checked = Findings(self.findings.file)
        spec = inputs.check_header(header, checked)
        self.findings.take(checked, given.prefix)
        if checked.found:
            return None
        before = len(self.findings.found)
        if spec.include is not None:
            spec = replace(spec, inputs=self._with_shared(spec, given))
            if given.shared is not None:
                self.findings.prefix(before, given.prefix)
        if has_errors(self.findings.found[before:]):
            return None
        found, problems = inputs.resolve_inputs(spec, given.inputs)
        for problem, where in problems:
            self.findings.error("inputs", given.prefix + problem, given.mark or where)
        if problems:
            return None
        allowed = {key: value for key, value in given.component.items() if key in spec.component}
        interpolator = Interpolator(found, allowed, self.variables, self.masked)
        new = interpolator.apply(root)
        for message, where in interpolator.errors[:MAX_ERRORS]:
            self.findings.error("inputs", given.prefix + message, where)
        return new if isinstance(new, Map) else root

    def _with_shared(self, spec: inputs.Header, given: Arguments) -> Map:
        """Return the inputs of ``spec:include`` and after them the header's own."""
        if given.shared is None:
            self.findings.error(
                "include",
                f"Component {given.prefix.removesuffix(': ')} cannot use `spec:include`. "
                "This keyword is not supported in components",
                spec.include_mark or given.mark,
                "copy the inputs into the header",
            )
            return spec.inputs
        merged = Map(spec.inputs.at)
        twice: list[str] = []
        for inputs_of_file in [*given.shared(spec.include, spec.include_mark), spec.inputs]:
            for key, value in inputs_of_file.items():
                if key in merged:
                    twice.append(text_of(key))
                merged.put(key, value, inputs_of_file.marks.get(key, (None, None)))
        if twice:
            self.findings.error(
                "inputs",
                f"Duplicate input keys found: {', '.join(dict.fromkeys(twice))}. "
                "Input keys must be unique across all included files and inline specifications.",
                merged.key_at(twice[-1]),
            )
        return merged


def _symbols(names: list[str]) -> str:
    """Return names as Ruby shows a list of symbols."""
    shown = (f":{name}" if name.isidentifier() else f':"{name}"' for name in names)
    return f"[{', '.join(shown)}]"
