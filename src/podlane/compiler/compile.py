"""``.gitlab-ci.yml`` to a pipeline: the passes, in GitLab's order. Read this first.

read → extends → references → check and apply defaults → stages and needs → model.

Every pass reports into one ``Findings`` and hands on what is sound, so that the user sees all
mistakes at once; GitLab stops at the first of some kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podlane.compiler import reader
from podlane.compiler.config import Config, configure
from podlane.compiler.context import Context, Fetcher
from podlane.compiler.findings import Findings
from podlane.compiler.graph import check_graph
from podlane.compiler.inheritance import Extender
from podlane.compiler.keywords.variables import lower_variables
from podlane.compiler.lower import lower_job
from podlane.compiler.references import Resolver
from podlane.compiler.source import Map
from podlane.kit.diagnostics import Diagnostic, has_errors
from podlane.model.pipeline import Pipeline

DEFAULT_FILE = ".gitlab-ci.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """What became of a configuration.

    ``pipeline`` is None when there are errors. ``run_refusals`` are valid keywords that a run cannot
    honour: ``podlane run`` refuses them unless the user allows it. ``sources`` are the texts of all
    files read, for excerpts.
    """

    pipeline: Pipeline | None
    diagnostics: tuple[Diagnostic, ...]
    run_refusals: tuple[Diagnostic, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    config: Config | None = None


def compile_pipeline(root: str, fetcher: Fetcher, context: Context) -> Compilation:
    """Compile the configuration whose main file is ``root`` (a path in the project)."""
    del context
    findings = Findings(root)
    sources: dict[str, str] = {}
    tree = _read(root, fetcher, findings, sources)
    config = None
    pipeline = None
    if tree is not None:
        config = _configure(tree, findings)
    diagnostics = findings.sorted()
    if config is not None and not has_errors(diagnostics):
        pipeline = Pipeline(
            stages=config.stages,
            jobs=tuple(lower_job(name, job, config.variables) for name, job in config.jobs.items()),
            variables=lower_variables(config.variables),
        )
    return Compilation(pipeline=pipeline, diagnostics=diagnostics, sources=sources, config=config)


def _read(path: str, fetcher: Fetcher, findings: Findings, sources: dict[str, str]) -> Map | None:
    content = fetcher.read_local(path)
    if content is None:
        findings.error(
            "file", "Missing CI config file", None,
            f"there is no {path} in the project; name another with --file",
        )  # fmt: skip
        return None
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        sources[path] = text
        documents = reader.read_documents(text, path)
    except UnicodeDecodeError as error:
        findings.error("yaml", f"{path} is not UTF-8 text (byte {error.start})", None)
        return None
    except reader.YamlError as error:
        findings.error("yaml", error.message, error.mark, error.hint)
        return None
    if not documents:
        findings.error("file", "Please provide content of .gitlab-ci.yml", None)
        return None
    root = documents[0].root
    if not isinstance(root, Map):
        findings.error("yaml", "Invalid configuration format", None, "the file must be a mapping")
        return None
    if documents[0].size > reader.MAX_BYTES:
        findings.error("yaml", "The parsed YAML is too big", root.at, "an anchor contains itself")
        return None
    return root


def _configure(tree: Map, findings: Findings) -> Config:
    extended = Extender(tree, findings).extended()
    resolved = Resolver(extended, findings).resolved()
    config = configure(resolved, findings)
    check_graph(config.jobs, config.stages, findings)
    return config
