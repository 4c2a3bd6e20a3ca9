"""One file of a configuration: text to a tree, its header checked, its inputs filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from podlane.compiler import inputs, reader
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.interpolation import MAX_ERRORS, Interpolator
from podlane.compiler.source import Map, Mark, Node, Seq, text_of
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
        if not documents:
            return Map(), True
        if any(document.size > reader.MAX_BYTES for document in documents):
            self.findings.error(
                "yaml",
                f"{given.prefix}The parsed YAML is too big",
                given.mark,
                "an anchor contains itself",
            )
            return None
        self.has_references |= any(document.has_references for document in documents)
        roots = [document.root for document in documents]
        header = None
        if len(roots) > 1 and isinstance(roots[0], Map) and "spec" in roots[0]:
            header, roots = roots[0], roots[1:]
        root = roots[0]
        if not isinstance(root, Map):
            at = root.at if isinstance(root, Seq) else given.mark
            self.findings.error(
                "yaml",
                f"{given.prefix}Invalid configuration format",
                at,
                "the file must be a mapping",
            )
            return None
        for document in documents:
            self._warn_duplicates(document)
        filled = self._interpolate(root, header, given)
        return None if filled is None else (filled, not root)

    def load_inputs(self, content: bytes | str, name: str, mark: Mark | None) -> Map | None:
        """Return the inputs that a file of ``spec:include`` defines; None when it is broken."""
        documents = self._documents(content, name, Arguments(mark=mark, prefix=f"`{name}`: "))
        if documents is None:
            return None
        root = documents[0].root if documents else None
        if not isinstance(root, Map):
            self.findings.error(
                "include", f"Included file `{name}` does not have valid YAML syntax!", mark
            )
            return None
        others = [text_of(key) for key in root if key != "inputs"]
        defined = root.get("inputs")
        if others:
            self.findings.error(
                "include",
                f"Included file `{name}` contains unknown keys: {', '.join(others)}",
                root.key_at(others[0]) or mark,
                "a file for spec:include holds `inputs` and nothing else",
            )
            return None
        path = ("header", "spec", "inputs")
        return inputs.check_inputs(Entry(self.findings, path, defined, root.value_at("inputs")))

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
            return root
        before = len(self.findings.found)
        spec = inputs.check_header(header, self.findings)
        if spec.include is not None:
            spec = replace(spec, inputs=self._with_shared(spec, given))
        if len(self.findings.found) > before:
            return None
        found, problems = inputs.resolve_inputs(spec, given.inputs)
        for problem, where in problems:
            self.findings.error("inputs", given.prefix + problem, given.mark or where)
        if len(self.findings.found) > before:
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
            kind = "components" if given.component else "included configuration files"
            name = given.prefix.removesuffix(": ") or "the file"
            self.findings.error(
                "include",
                f"Included file {name} cannot use `spec:include`. "
                f"This keyword is not supported in {kind}",
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
